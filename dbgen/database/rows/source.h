/*
 * The source of a database: the manifest's paths and, behind them, the rows that another
 * database adds (dbgen/database/merge/merge.c). Both writers see one list of paths in batches: path number n has id
 * n + 1, the manifest's come first, so their ids do not depend on what is merged.
 */
#pragma once

#include "dbgen/manifest/manifest.h"

struct ul_db_added;

struct ul_db_source {
	struct ul_manifest *manifest; /* borrowed */
	const char *store_dir;        /* "/nix/store"; borrowed from the manifest */
	uint32_t n_manifest;          /* paths of the manifest */
	uint32_t n_paths;             /* with the added ones */
	uint64_t n_refs;
	uint32_t n_batches;
	const struct ul_drv_output *outputs; /* sorted by (drv, id) */
	uint32_t n_outputs;
	const struct ul_realisation *realisations; /* the added ones behind the manifest's */
	uint32_t n_realisations;
	const struct ul_realisation *traces; /* those of Nix 2.35 and later, without references; only the manifest's */
	uint32_t n_traces;
	const char *const *trace_paths;             /* where each leads, as Nix writes it: the whole store path */
	struct ul_db_added *added;                  /* NULL: nothing is merged */
	void *joined_outputs, *joined_realisations; /* owned; NULL: the manifest's own are used */
	struct ul_realisation *split;               /* owned; NULL: the manifest has no traces */
	uint32_t *split_refs;                       /* owned; of split */
	char *trace_texts, **trace_path_list;       /* owned; behind trace_paths */
};

/* The manifest's rows. Close also after a failure. */
int ul_db_source_open(struct ul_db_source *s, struct ul_manifest *m, struct ul_error *err);

/* Put the added rows behind them. a may be NULL; it is taken over, also on failure. Call it once. */
int ul_db_source_add(struct ul_db_source *s, struct ul_db_added *a, struct ul_error *err);
void ul_db_source_close(struct ul_db_source *s);

/*
 * Batch k of the list, as ul_manifest_read_batch does it. Differences: derivers of added paths are
 * full paths, and ref_off[0] of an added batch need not be 0.
 */
int ul_db_source_read_batch(const struct ul_db_source *s, struct ul_batch_reader *r, uint32_t k, unsigned int columns,
			    struct ul_batch *ret, struct ul_error *err);

/* How many references the paths of batch k have. */
uint64_t ul_db_source_batch_refs(const struct ul_db_source *s, uint32_t k);
