/* Copying a stretch of an image or file, piece by piece, with progress; each writer says where a piece goes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/progress.h"

struct ul_copy_range {
	int from;
	uint64_t offset, size;        /* bytes, in `from` */
	const char *step;             /* "copying", for the progress */
	struct ul_progress *progress; /* NULL: nobody looks */
	bool (*cancelled)(void);      /* NULL: never */

	/* Takes `len` bytes that lie `done` bytes behind the beginning: 0 or -errno. */
	int (*piece)(void *user, const uint8_t *bytes, size_t len, uint64_t done);
	void *user;
};

/* 0; -errno of reading or of the piece's taker (-EIO: `from` is too short); -ECANCELED. */
int ul_copy_range(const struct ul_copy_range *c);
