/*
 * The manifest: the sealed document that lists every store path of the lower with all that Nix's
 * database knows of it. (The byte-by-byte format stands in dbgen/manifest/format.h.)
 *
 * Paths are numbered from 0 in path order: the order of their text, which is the order of the digests
 * as kept here. A manifest is read in batches of columns, so that no consumer needs the whole of it in
 * memory, and batches decode independently of each other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "dbgen/store/store_path.h"

struct ul_manifest;

/* A column of texts: text i is bytes[off[i] .. off[i + 1]), not terminated. Empty: NULL in Nix. */
struct ul_text_column {
	const uint32_t *off; /* n + 1 entries */
	const char *bytes;
};

/*
 * Paths first .. first + n of a manifest. The arrays belong to the batch's reader (see
 * ul_manifest_read_batch) or to the manifest.
 */
struct ul_batch {
	uint32_t first;
	uint32_t n;
	const uint8_t *digest;         /* n * 20: the hash part, bytes reversed so that memcmp is path order */
	struct ul_text_column name;    /* what follows "HASH-" */
	const uint8_t *nar_hash;       /* n * 32, SHA-256 of the NAR */
	const uint64_t *nar_size;      /* bytes; 0: not known */
	const int64_t *registered;     /* registration time, seconds since 1970 */
	const uint8_t *ultimate;       /* 0 or 1 */
	struct ul_text_column deriver; /* a base name ("HASH-name.drv") of the manifest's store
					  directory, or an absolute path elsewhere */
	struct ul_text_column sigs;    /* as in Nix's database: joined by single spaces */
	struct ul_text_column ca;      /* "fixed:r:sha256:...", "text:sha256:..." */
	const uint64_t *ref_off;       /* n + 1 entries, from 0: references of i are */
	const uint32_t *refs;          /* refs[ref_off[i] .. ref_off[i + 1]), ascending path numbers */
};

/* A row of DerivationOutputs: the derivation (a path of the manifest), output name, output path. */
struct ul_drv_output {
	uint32_t drv;     /* path number */
	const char *id;   /* "out" */
	const char *path; /* full store path, in the manifest or not */
};

/*
 * A row of Realisations (ca-derivations) with its references among the realisations, or, of Nix 2.35 and later, one of
 * BuildTraceV3.
 */
struct ul_realisation {
	const char
		*drv_path; /* hash modulo of the derivation as text: "sha256:..."; or its base name, "HASH-NAME.drv" */
	const char *output_name; /* "out" */
	uint32_t output;         /* path number of the output path */
	const char *signatures;  /* joined by spaces; NULL: none */
	const uint32_t *refs;    /* numbers of realisations */
	uint32_t n_refs;
};

/* ---- reading ---- */

/*
 * Open a manifest of len bytes in memory (mapped or read); data must outlive it. Header, index and
 * totals are checked here, each batch's checksum when it is read. *ret: free with ul_manifest_close.
 * Errors: -UL_E_MANIFEST, -UL_E_VERSION, -UL_E_MEMORY.
 */
int ul_manifest_open_memory(const void *data, size_t len, struct ul_manifest **ret, struct ul_error *err);

/*
 * Open a file, which is read as it is asked for. One that cannot be opened is -UL_E_SYSTEM. What cannot be read of a
 * sealed lower is -UL_E_CORRUPT, here and at every function below that reads.
 */
int ul_manifest_open_file(int dirfd, const char *path, struct ul_manifest **ret, struct ul_error *err);

void ul_manifest_close(struct ul_manifest *m); /* NULL is allowed */

static inline void ul_cleanup_manifest(struct ul_manifest **m)
{
	ul_manifest_close(*m);
}

#define ul_automanifest UL_CLEANUP(ul_cleanup_manifest)

const char *ul_manifest_store_dir(const struct ul_manifest *m); /* "/nix/store" */
uint32_t ul_manifest_n_paths(const struct ul_manifest *m);
uint64_t ul_manifest_n_refs(const struct ul_manifest *m);
uint32_t ul_manifest_n_batches(const struct ul_manifest *m);

/* Append the manifest's own bytes: to put it somewhere else. */
struct ul_buffer;
int ul_manifest_copy(const struct ul_manifest *m, struct ul_buffer *ret, struct ul_error *err);

/* The checksum in its header: tells manifests apart where nobody means harm. */
uint64_t ul_manifest_sum(const struct ul_manifest *m);

/* SHA-256 of the manifest's bytes: what the signed descriptor holds. An error is one of reading; *ret is zeros then. */
int ul_manifest_hash(const struct ul_manifest *m, uint8_t ret[32], struct ul_error *err);

/* Buffers that batches are decoded into; one per thread. */
struct ul_batch_reader;
struct ul_batch_reader *ul_batch_reader_new(struct ul_manifest *m);
void ul_batch_reader_free(struct ul_batch_reader *r);

/* Columns to decode (others are left NULL): a consumer pays for what it uses. */
enum {
	UL_COL_NAME = 1 << 0,
	UL_COL_NAR = 1 << 1,  /* nar_hash, nar_size */
	UL_COL_META = 1 << 2, /* registered, ultimate, deriver, sigs, ca */
	UL_COL_REFS = 1 << 3,
	UL_COL_ALL = 15 /* digests always come */
};

/*
 * Decode batch k (0 <= k < n_batches). *ret stays valid until the reader's next call. Safe to call
 * from several threads with a reader each. Every value is checked: references are in range and
 * ascending, names are valid store path names, digests ascend.
 */
int ul_manifest_read_batch(struct ul_batch_reader *r, uint32_t k, unsigned int columns, struct ul_batch *ret,
			   struct ul_error *err);

/* How many references the paths of batch k have; from the index, without decoding. */
uint64_t ul_manifest_batch_refs(const struct ul_manifest *m, uint32_t k);

/*
 * Find a path's number by its digest and name ("HASH-name" base name). Reads O(log n) of the manifest,
 * not all of it. 1: found, 0: not in the manifest, negative: error.
 */
int ul_manifest_find(struct ul_manifest *m, const char *base_name, uint32_t *ret_number, struct ul_error *err);

/* Whether it has a path with this one's digest; names are not looked at, nothing is unpacked. 1, 0 or an error. */
int ul_manifest_has_digest(const struct ul_manifest *m, const char *base_name, struct ul_error *err);

/* Tables of the tail; decoded at the first call, owned by the manifest, sorted by (drv, id). */
int ul_manifest_drv_outputs(struct ul_manifest *m, const struct ul_drv_output **ret, uint32_t *ret_n,
			    struct ul_error *err);
int ul_manifest_realisations(struct ul_manifest *m, const struct ul_realisation **ret, uint32_t *ret_n,
			     struct ul_error *err);

/* Counts of a look through the whole manifest, which checks every batch and table on the way. */
struct ul_manifest_totals {
	uint64_t bytes; /* of the manifest itself */
	uint64_t nar_bytes;
	uint32_t with_signature, with_ca, with_deriver, ultimate;
	uint32_t drv_outputs, realisations;
};
int ul_manifest_count(struct ul_manifest *m, struct ul_manifest_totals *ret, struct ul_error *err);

/* ---- writing ---- */

/* All that is known of one path, as texts; importers fill it. Borrowed by ul_builder_add. */
struct ul_path_info {
	const char *path;    /* full store path */
	const char *deriver; /* full path; NULL: unknown. One that a manifest cannot hold is left out, with a note */
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size;
	int64_t registered;
	bool ultimate;
	const char *sigs;        /* joined by single spaces; NULL: none */
	const char *ca;          /* NULL: none */
	const char *const *refs; /* full paths, any order, may name the path itself; borrowed */
	size_t n_refs;
};

/* Collects paths in any order; sorts, resolves references, checks closure; writes. */
struct ul_builder;

/* NULL: no memory. store_dir such as "/nix/store". */
struct ul_builder *ul_builder_new(const char *store_dir);
void ul_builder_free(struct ul_builder *b); /* NULL is allowed */

static inline void ul_cleanup_builder(struct ul_builder **b)
{
	ul_builder_free(*b);
}

#define ul_autobuilder UL_CLEANUP(ul_cleanup_builder)

const char *ul_builder_store_dir(const struct ul_builder *b);

/* Errors: -UL_E_INPUT (no valid store path, another store directory, too long), -UL_E_MEMORY. */
int ul_builder_add(struct ul_builder *b, const struct ul_path_info *info, struct ul_error *err);
int ul_builder_add_drv_output(struct ul_builder *b, const char *drv, const char *id, const char *path,
			      struct ul_error *err);
int ul_builder_add_realisation(struct ul_builder *b, const char *drv_path, const char *output_name,
			       const char *output_path, const char *signatures, struct ul_error *err);
/* Realisation (drv_path, output_name) refers to the realisation (ref_drv, ref_output). */
int ul_builder_add_realisation_ref(struct ul_builder *b, const char *drv_path, const char *output_name,
				   const char *ref_drv, const char *ref_output, struct ul_error *err);

/*
 * All of a manifest of the same store directory. The builder must be empty. -UL_E_MANIFEST and the errors of
 * ul_builder_add.
 */
int ul_builder_add_manifest(struct ul_builder *b, struct ul_manifest *m, struct ul_error *err);

/*
 * Keep only the closure of these full paths (and what they refer to); they are copied. To be called once, before the
 * first path is added: what the closure does not need is then not judged (ul_builder_put_aside). A root that is not
 * added is -UL_E_INPUT of ul_builder_finish.
 */
int ul_builder_restrict(struct ul_builder *b, const char *const *roots, size_t n, struct ul_error *err);

/*
 * For importers: a row of the source cannot be used, *err says why; path: the full path that it is about, NULL where it
 * does not tell. Where all of the source is wanted, or memory ran out, that is returned as the failure it is. Where a
 * closure is, 0: *err comes back from ul_builder_finish if the closure needs the path.
 */
int ul_builder_put_aside(struct ul_builder *b, const char *path, struct ul_error *err);

/*
 * What a user should be told of a manifest that was written, each a sentence without its full stop: derivers that were
 * left out, rows that were put aside. The builder's, from ul_builder_finish on.
 */
const char *const *ul_builder_notes(const struct ul_builder *b, size_t *ret_n);

/*
 * Forget all that depends on the machine of the store, not on the paths: deriver, signatures,
 * registration time, whether it was built there, derivation outputs, realisations. What stays (NAR hash
 * and size, references, content address) is all that a Nix build learns of its closure, so a manifest made
 * inside of one and a manifest made outside are the same. To be called after the last path was added.
 */
void ul_builder_drop_local(struct ul_builder *b);

/*
 * Write the manifest: the same bytes for the same set of paths, whatever the order of adding. A path
 * given twice with different data, a reference to a path that was not added, or a circle of them is
 * -UL_E_INPUT. To
 * be called once; *ret is set on success only.
 */
struct ul_buffer;
int ul_builder_finish(struct ul_builder *b, struct ul_buffer *ret, struct ul_error *err);

/* Path i of a batch that was read with UL_COL_NAME, as "DIR/HASH-name". */
void ul_store_path_text(const char *store_dir, const struct ul_batch *b, uint32_t i, char out[UL_STORE_PATH_SIZE]);
