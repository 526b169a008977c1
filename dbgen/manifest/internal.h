/* Shared by the files that read a manifest: the opened manifest, its sections, careful decoding. */
#pragma once

#include <pthread.h>
#include <zstd.h>

#include "common/buffer.h"
#include "common/bytes.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/manifest/text.h"

/* One section entry, with the place of its bytes in the file. */
struct ul_section_entry {
	uint64_t offset;
	uint32_t raw_len;
	uint32_t stored_len;
	uint64_t checksum;
};

/* A table of the tail; rows and what they point to is one allocation each. */
struct ul_manifest_tables {
	struct ul_drv_output *drv_outputs;
	struct ul_realisation *realisations;
	uint32_t *realisation_refs;
	char *drv_output_texts, *realisation_texts;
};

struct ul_manifest {
	/*
	 * Either the caller's memory, or a file that is read piece by piece. It is not mapped: what a mapping cannot
	 * read (a block that dm-verity refuses, a file that was cut) ends the process, PID 1 at boot, by SIGBUS.
	 */
	const uint8_t *data; /* NULL: a file */
	int fd;              /* -1: memory */
	uint64_t len;        /* bytes */
	const uint8_t *head; /* header and index */
	uint8_t *owned_head; /* the same, of a file */
	char *name;          /* for messages */
	char *store_dir;
	uint32_t n_paths, n_batches;
	uint64_t n_refs;
	uint32_t n_drv_outputs, n_realisations;
	const uint8_t *index;
	uint64_t *batch_offset; /* n_batches + 1 */
	struct ul_section_entry tail[2];

	pthread_mutex_t lock; /* guards what follows */
	struct ul_batch_reader *find_reader;
	struct ul_batch found; /* what find_reader holds, if found.n > 0 */
	struct ul_manifest_tables tables;
};

static inline uint32_t ul_manifest_batch_n(const struct ul_manifest *m, uint32_t k)
{
	uint32_t left = m->n_paths - k * UL_MANIFEST_BATCH;

	return left < UL_MANIFEST_BATCH ? left : UL_MANIFEST_BATCH;
}

/* Read bytes of the manifest; the index says that it has them. */
int ul_manifest_read(const struct ul_manifest *m, void *buf, size_t len, uint64_t offset, struct ul_error *err);

/* The digest of path i. */
int ul_manifest_digest(const struct ul_manifest *m, uint32_t i, uint8_t ret[UL_DIGEST_SIZE], struct ul_error *err);

/* Parse the 16 bytes of an entry; its offset is the caller's to fill in. */
struct ul_section_entry ul_section_entry_parse(const uint8_t *p);

/* The entry of a section of batch k. */
struct ul_section_entry ul_manifest_section(const struct ul_manifest *m, uint32_t k, enum ul_section s);

/* -UL_E_MANIFEST with the manifest's name as the object. */
int ul_manifest_bad(const struct ul_manifest *m, struct ul_error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Check a section's bytes and decode them. *ret points into buf, or into the memory that the manifest is in. */
int ul_section_load(const struct ul_manifest *m, ZSTD_DCtx *zstd, const struct ul_section_entry *e,
		    struct ul_buffer *buf, const uint8_t **ret, struct ul_error *err);

/* A cursor over decoded bytes. Once something was wrong it stays so: check `bad` at the end. */
struct ul_cursor {
	const uint8_t *at, *end;
	bool bad;
};

/* The next n bytes; where fewer are left: NULL, and bad. */
static inline const uint8_t *ul_take(struct ul_cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if (c->bad || n > (size_t)(c->end - at)) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	return at;
}

static inline uint8_t ul_take_u8(struct ul_cursor *c)
{
	const uint8_t *p = ul_take(c, 1);

	return p ? *p : 0;
}

static inline uint64_t ul_take_varint(struct ul_cursor *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; c->at < c->end && shift < 64; shift += 7) {
		uint8_t byte = *c->at++;

		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
	}
	c->bad = true;
	return 0;
}

/* A varint that must not be above max. */
static inline uint32_t ul_take_bounded(struct ul_cursor *c, uint32_t max)
{
	uint64_t v = ul_take_varint(c);

	if (v <= max)
		return (uint32_t)v;
	c->bad = true;
	return 0;
}
