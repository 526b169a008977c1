/*
 * A whole store image that comes by a pipe, from its first byte to its last. Its table comes first and says what the
 * image is called, how large its parts are, and, by their UUIDs, its root hash; what vouches for that comes last. So
 * nothing of it is believed before all of it is there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"
#include "verity/format/descriptor.h"
#include "verity/format/gpt.h"
#include "verity/format/partition_types.h"

struct ul_image_stream {
	int fd;                      /* borrowed */
	uint64_t at;                 /* bytes that were taken */
	struct ul_partition part[3]; /* as enum ul_slot_role counts; in the order of their places, too */
	const struct ul_partition_types *types;
	struct ul_descriptor d; /* root hash, name and version, as the table has them; nothing else */
};

/* Read the table. -UL_E_INPUT: it is not the beginning of a store image; -UL_E_SYSTEM. */
int ul_image_stream_open(int fd, struct ul_image_stream *ret, struct ul_error *err);

struct ul_stream_taker {
	/* `len` bytes, aligned to 4096, that lie `done` bytes behind the part's beginning: 0 or -errno. */
	int (*piece)(void *user, const uint8_t *bytes, size_t len, uint64_t done);
	void *user;
	struct ul_progress *progress;
	bool (*cancelled)(void);
};

/*
 * Hand on the part, up to which all is skipped. 0; -errno of reading, or the taker's; -ENODATA: the stream ends too
 * soon; -ECANCELED.
 */
int ul_image_stream_take(struct ul_image_stream *s, unsigned int part, const struct ul_stream_taker *taker);

/* Take the rest, so that whoever sends it is not broken off. */
void ul_image_stream_drain(struct ul_image_stream *s);
