/* Shared by the files of the merge; see merge.c. */
#pragma once

#include "common/buffer.h"
#include "common/sqlite.h"
#include "common/vector.h"
#include "dbgen/database/rows/added.h"
#include "dbgen/database/rows/foreign.h"
#include "dbgen/database/rows/options.h"

/* A row of the other ValidPaths: where its id leads. */
struct ul_db_merge_row {
	int64_t id;
	uint32_t number; /* of the manifest's path, or of the candidate */
	bool lower;
	bool needed; /* the manifest's: a candidate that stands leads to it */
};

/* A path that only the other database has. */
struct ul_db_candidate {
	int64_t id; /* in the other database */
	uint8_t digest[UL_DIGEST_SIZE];
	uint32_t number; /* in the new database, once step 4 gave it one */
	uint32_t before; /* paths of the manifest that come before it */
	bool dropped;
	enum ul_db_drop why;         /* where dropped */
	uint32_t name_off, name_len; /* in names */
	uint64_t first_ref;          /* in refs */
	uint32_t n_refs;
};

struct ul_db_merge {
	const struct ul_db_source *lower;
	const struct ul_db_options *options;
	struct ul_error *err;
	sqlite3 *db;
	struct ul_batch_reader *reader;
	UL_VECTOR(struct ul_db_merge_row) rows;       /* sorted by id after step 1 */
	UL_VECTOR(struct ul_db_candidate) candidates; /* in path order */
	struct ul_buffer names;                       /* of candidates */
	UL_VECTOR(int64_t) refs;                      /* ids that candidates refer to */
};

extern const char ul_db_merging[]; /* "merging ...": the `what` of errors */

/* Rows by id: sort them once all are there; then find one, or NULL. */
void ul_db_merge_sort_rows(struct ul_db_merge *g);
struct ul_db_merge_row *ul_db_merge_row(const struct ul_db_merge *g, int64_t id);

/* The number that the path of an id has in the new database; false: it is not in it. */
bool ul_db_merge_lookup(const struct ul_db_merge *g, int64_t id, uint32_t *ret);

int ul_db_merge_fail(struct ul_db_merge *g);
int ul_db_merge_nomem(struct ul_db_merge *g);
int ul_db_merge_prepare(struct ul_db_merge *g, const char *sql, sqlite3_stmt **ret);

/* A column's text if it is one that can be kept (no NUL inside, bounded); else NULL. */
const char *ul_db_merge_text(sqlite3_stmt *row, int column, size_t *ret_len);

/* needed.c: tell options->updated of the rows that take the manifest's word. The candidates are judged. */
int ul_db_merge_compare_needed(struct ul_db_merge *g);

/* tables.c: number the candidates that stand, and gather their rows. *ret: NULL if there are none. */
int ul_db_merge_tables(struct ul_db_merge *g, struct ul_db_added **ret);

/* realisations.c: the realisations. */
int ul_db_merge_realisations(struct ul_db_merge *g, struct ul_db_added *a);
