/* Shared by the builder's files: paths as they are collected, before they have numbers. */
#pragma once

#include "common/buffer.h"
#include "common/names.h"
#include "common/vector.h"
#include "dbgen/manifest/manifest.h"

#define UL_NO_RECORD UINT32_MAX

/* A store path that was given or is referred to. Entries are found by a hash table. */
struct ul_builder_entry {
	const char *name; /* terminated; in the builder's texts */
	uint32_t record;  /* index of what was given, or UL_NO_RECORD */
	uint8_t digest[UL_DIGEST_SIZE];
	bool kept; /* in the closure that ul_builder_restrict asked for */
	bool bad;  /* a row of it was put aside */
};

/* A path as it was given. Texts that were not given are NULL. */
struct ul_builder_record {
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size;
	int64_t registered;
	const char *deriver; /* base name, or absolute path outside the store directory */
	const char *sigs;
	const char *ca;
	uint64_t first_ref; /* in builder->refs */
	uint32_t n_refs;
	uint32_t entry;
	bool ultimate;
};

struct ul_builder_drv_output {
	uint32_t drv; /* entry; its number once sorted */
	const char *id;
	uint8_t digest[UL_DIGEST_SIZE]; /* of the output path */
	const char *name;
};

struct ul_builder_realisation {
	const char *drv_path, *output_name;
	uint32_t output; /* entry */
	const char *signatures;
	uint32_t number; /* once sorted */
};

/* Realisation (drv, output) refers to (ref_drv, ref_output); found by text at the end. */
struct ul_builder_realisation_ref {
	const char *drv, *output, *ref_drv, *ref_output;
};

/* Why a row was put aside: an error, once the manifest needs its path. Texts are in the builder's. */
struct ul_builder_bad {
	uint32_t entry;
	enum ul_code code;
	const char *what, *object, *why, *todo;
};

/* A path whose deriver was left out because no manifest can hold it. */
struct ul_builder_odd_deriver {
	uint32_t entry;
	const char *text;
};

struct ul_builder {
	char *store_dir;
	UL_VECTOR(struct ul_builder_entry) entries;
	UL_VECTOR(struct ul_builder_record) records;
	UL_VECTOR(uint32_t) refs; /* entries */
	UL_VECTOR(struct ul_builder_drv_output) drv_outputs;
	UL_VECTOR(struct ul_builder_realisation) realisations;
	UL_VECTOR(struct ul_builder_realisation_ref) realisation_refs;
	uint32_t *table; /* open addressing; index of an entry plus one, 0: free */
	size_t table_size;
	struct ul_builder_chunk *chunks; /* texts */
	bool restricted;
	UL_VECTOR(const char *) roots; /* of the closure */
	UL_VECTOR(struct ul_builder_bad) bad;
	UL_VECTOR(struct ul_builder_odd_deriver) odd_derivers;
	uint64_t nameless_bad; /* rows put aside that name no path of this store */
	struct ul_names notes;
};

/* A copy among the builder's texts; NULL: no memory. */
char *ul_builder_keep_text(struct ul_builder *b, const char *text, size_t len);

/* Find or make the entry of a full store path. */
int ul_builder_intern(struct ul_builder *b, const char *path, uint32_t *ret, struct ul_error *err);

/*
 * Mark what the closure asked for holds (all, where none was), and refuse what of it was put aside
 * (builder_closure.c). Then the notes can be written.
 */
int ul_builder_take_closure(struct ul_builder *b, struct ul_error *err);
int ul_builder_write_notes(struct ul_builder *b, struct ul_error *err);

/* Whether an entry belongs into the manifest. */
static inline bool ul_builder_keeps(const struct ul_builder *b, const struct ul_builder_entry *e)
{
	return e->record != UL_NO_RECORD && (!b->restricted || e->kept);
}

/* Put "DIR/HASH-name" into out (UL_STORE_PATH_SIZE bytes); returns out. */
char *ul_builder_path(const struct ul_builder *b, const struct ul_builder_entry *e, char *out);

/* No path but itself leads back to a path. The closure of order[0 .. n) has been checked. */
int ul_builder_check_cycles(const struct ul_builder *b, const uint32_t *order, size_t n, struct ul_error *err);

/* Paths to encode: the entries order[0 .. n). number: of each entry, its place among all that are written. */
struct ul_encode_span {
	const struct ul_builder *b;
	const uint32_t *order, *number;
	uint32_t n;
};

/* Encoding (encode.c): the sections of a batch's paths, appended to data; row gets the index' row. */
struct ul_encoder;
struct ul_encoder *ul_encoder_new(void);
void ul_encoder_free(struct ul_encoder *e);
int ul_encode_batch(struct ul_encoder *e, const struct ul_encode_span *s, struct ul_buffer *data, uint8_t *row,
		    struct ul_error *err);

/* Compress what the caller built, append it to data and fill a section entry. */
int ul_encode_section(struct ul_encoder *e, const struct ul_buffer *raw, bool compress, struct ul_buffer *data,
		      uint8_t *entry, struct ul_error *err);
int ul_put_varint(struct ul_buffer *b, uint64_t v);

/* The tail (encode_tail.c); the tables are sorted in place. *ret_n: rows that were kept. */
int ul_encode_drv_outputs(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
			  struct ul_error *err);
int ul_encode_realisations(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
			   struct ul_error *err);
