/* A look into the lower: one path at a time, at a cost that does not follow its size. */
#pragma once

#include <sqlite3.h>

#include "common/buffer.h"
#include "common/vector.h"
#include "dbgen/reconcile/reconcile.h"

struct ul_lower_rows {
	struct ul_manifest *manifest;
	const char *name; /* of the database, for messages */
	sqlite3 *db;      /* NULL: the manifest answers */
	sqlite3_stmt *row, *refs, *outputs;
	struct ul_batch_reader *reader, *names;
	struct ul_batch batch; /* the last one read */
	/* The last answer: its texts, where its references begin in them, and these as texts once all are there. */
	struct ul_buffer texts;
	UL_VECTOR(size_t) ref_offsets;
	UL_VECTOR(const char *) ref_texts;
};

/* Close it also after a failure. */
int ul_lower_rows_open(struct ul_lower_rows *l, const struct ul_reconcile_lower *from, struct ul_error *err);
void ul_lower_rows_close(struct ul_lower_rows *l);

/* 1: the lower has this path; 0: it does not. */
int ul_lower_rows_has(struct ul_lower_rows *l, const char *base, struct ul_error *err);

/* All of it. 1, 0 or negative. The texts stay until the next call. References come in path order. */
int ul_lower_rows_info(struct ul_lower_rows *l, const char *base, struct ul_path_info *ret, struct ul_error *err);

/* Give the derivation outputs of a path to the builder. */
int ul_lower_rows_outputs(struct ul_lower_rows *l, const char *base, struct ul_builder *b, struct ul_error *err);
