/*
 * The rows that another database (the upper's own) adds to the manifest's.
 *
 * Whoever can write an unencrypted upper can write this database, so nothing in it is believed: SQLite
 * runs no code of its schema, and every value is checked before it becomes a row. What it says of a
 * path of the manifest is not taken.
 *
 * 1. Both lists of paths are read in path order and joined; what only the database has is a candidate.
 * 2. The candidates' columns and references (ids) are read.
 * 3. A candidate that cannot stand is dropped, and all that refer to it. What those that stand need of the manifest is
 *    compared, where somebody asks (needed.c).
 * 4. The others get numbers behind the manifest's, and their columns become a batch.
 * 5. Their derivation outputs and realisations follow. (4 and 5: tables.c.)
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/compare.h"
#include "common/referrers.h"
#include "dbgen/database/merge/load.h"
#include "dbgen/database/merge/merge.h"

/* ---- 1: the candidates ---- */

/* A path by its digest and name. */
struct key {
	const uint8_t *digest;
	const char *name;
	size_t len;
};

/* Path order: digests as kept in manifests, then names byte by byte. */
static int compare(const struct key *a, const struct key *b)
{
	int c = memcmp(a->digest, b->digest, UL_DIGEST_SIZE);

	return c ? c : ul_compare_bytes(a->name, a->len, b->name, b->len);
}

/* Where the join stands in the manifest. */
struct cursor {
	struct ul_batch batch;
	uint32_t next_batch, i;
};

/*
 * Go to the first path of the manifest that is not before this one. *ret_found: it is this one;
 * *ret_number: its number, or how many paths the manifest has.
 */
static int seek(struct ul_db_merge *g, struct cursor *c, const struct key *key, bool *ret_found, uint32_t *ret_number)
{
	*ret_found = false;
	*ret_number = g->lower->n_manifest;
	for (;; c->i++) {
		const struct ul_batch *b = &c->batch;
		struct key here;
		int order;

		while (c->i >= c->batch.n) {
			int r;

			if (c->next_batch >= ul_manifest_n_batches(g->lower->manifest))
				return 0;
			r = ul_manifest_read_batch(g->reader, c->next_batch++, UL_COL_NAME, &c->batch, g->err);
			if (r < 0)
				return r;
			c->i = 0;
		}
		here.digest = b->digest + (size_t)c->i * UL_DIGEST_SIZE;
		here.name = b->name.bytes + b->name.off[c->i];
		here.len = b->name.off[c->i + 1] - b->name.off[c->i];
		order = compare(&here, key);
		if (order >= 0) {
			*ret_found = order == 0;
			*ret_number = b->first + c->i;
			return 0;
		}
	}
}

/* row->number: of the manifest's path behind it; becomes the candidate's. */
static int add_candidate(struct ul_db_merge *g, struct ul_db_merge_row *row, const struct key *key)
{
	struct ul_db_candidate c = {.id = row->id,
				    .before = row->number,
				    .name_off = (uint32_t)g->names.len,
				    .name_len = (uint32_t)key->len};

	if (g->names.len + key->len > UINT32_MAX)
		return ul_db_merge_nomem(g);
	memcpy(c.digest, key->digest, sizeof(c.digest));
	row->number = (uint32_t)g->candidates.n;
	if (ul_buffer_append(&g->names, key->name, key->len) < 0 || ul_vector_push(&g->candidates, c) < 0)
		return ul_db_merge_nomem(g);
	return 0;
}

static void report_dropped(const struct ul_db_merge *g, const char *path, enum ul_db_drop why)
{
	if (g->options->dropped)
		g->options->dropped(g->options->user, path, why);
}

static void drop(struct ul_db_candidate *c, enum ul_db_drop why)
{
	if (!c->dropped)
		c->why = why;
	c->dropped = true;
}

/* The path that the join was at before: the next must come behind it. */
struct last {
	uint8_t digest[UL_DIGEST_SIZE];
	char name[UL_NAME_MAX];
	size_t len;
};

/* An index in disorder would slip paths of the manifest past the join. */
static int check_order(struct ul_db_merge *g, struct last *last, const struct key *key)
{
	const struct key before = {last->digest, last->name, last->len};

	if (last->len > 0 && compare(&before, key) >= 0)
		return ul_error_set(g->err, UL_E_DATABASE, ul_db_merging, g->options->merge_from, NULL,
				    "its index of paths is out of order");
	memcpy(last->digest, key->digest, sizeof(last->digest));
	memcpy(last->name, key->name, key->len);
	last->len = key->len;
	return 0;
}

static int join_row(struct ul_db_merge *g, struct cursor *cursor, struct last *last, sqlite3_stmt *rows)
{
	struct ul_db_merge_row row = {.id = sqlite3_column_int64(rows, 0)};
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base = ul_db_foreign_base(rows, 1, g->lower->store_dir, digest);
	struct key key = {.digest = digest};
	int r;

	if (!base) {
		report_dropped(g, ul_db_foreign_path(rows, 1), UL_DB_MALFORMED);
		return 0;
	}
	key.name = base + UL_HASH_DIGITS + 1;
	key.len = strlen(key.name);
	r = check_order(g, last, &key);
	if (r == 0)
		r = seek(g, cursor, &key, &row.lower, &row.number);
	if (r == 0 && !row.lower)
		r = add_candidate(g, &row, &key);
	if (r == 0 && ul_vector_push(&g->rows, row) < 0)
		r = ul_db_merge_nomem(g);
	return r;
}

static int find_candidates(struct ul_db_merge *g)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	struct cursor cursor = {.i = 0};
	struct last last = {.len = 0};
	int r, step = SQLITE_DONE;

	r = ul_db_merge_prepare(g, "select id, path from ValidPaths order by path", &rows);
	while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW)
		r = join_row(g, &cursor, &last, rows);
	if (r == 0 && step != SQLITE_DONE)
		r = ul_db_merge_fail(g);
	ul_db_merge_sort_rows(g);
	return r;
}

/* ---- 2: what candidates refer to ---- */

static const char *path_of(const struct ul_db_merge *g, const struct ul_db_candidate *c, char out[UL_STORE_PATH_SIZE])
{
	return ul_store_path_print(g->lower->store_dir, c->digest, (const char *)g->names.data + c->name_off,
				   c->name_len, out);
}

static void read_row(struct ul_db_merge *g, struct ul_db_candidate *c, sqlite3_stmt *row)
{
	struct ul_db_foreign values;
	char path[UL_STORE_PATH_SIZE];

	sqlite3_bind_int64(row, 1, c->id);
	/* No row: the index has it, the table has not. */
	if (sqlite3_step(row) != SQLITE_ROW || !ul_db_foreign_read(row, 0, g->lower->store_dir, &values))
		drop(c, UL_DB_MALFORMED);
	if (!c->dropped && g->options->exists && !g->options->exists(g->options->user, path_of(g, c, path)))
		drop(c, UL_DB_MISSING);
	sqlite3_reset(row);
}

static int read_refs(struct ul_db_merge *g, struct ul_db_candidate *c, sqlite3_stmt *refs)
{
	int step;

	c->first_ref = g->refs.n;
	sqlite3_bind_int64(refs, 1, c->id);
	while ((step = sqlite3_step(refs)) == SQLITE_ROW) {
		int64_t id;

		if (!ul_db_foreign_id(refs, 0, &id)) {
			drop(c, UL_DB_MALFORMED);
			continue;
		}
		/* An index whose pages lead to each other holds a row any number of times. */
		if (c->n_refs > 0 && id <= g->refs.at[g->refs.n - 1])
			return ul_error_set(g->err, UL_E_DATABASE, ul_db_merging, g->options->merge_from, NULL,
					    "its references are out of order");
		if (c->n_refs == UINT32_MAX || ul_vector_push(&g->refs, id) < 0)
			return ul_db_merge_nomem(g);
		c->n_refs++;
	}
	if (step != SQLITE_DONE)
		return ul_db_merge_fail(g);
	sqlite3_reset(refs);
	return 0;
}

static int read_candidates(struct ul_db_merge *g)
{
	ul_autostatement sqlite3_stmt *row = NULL, *refs = NULL;
	int r;

	r = ul_db_merge_prepare(g, "select " UL_DB_FOREIGN_COLUMNS " from ValidPaths where id = ?", &row);
	if (r == 0)
		r = ul_db_merge_prepare(g, "select reference from Refs where referrer = ? order by reference", &refs);
	for (uint32_t i = 0; r == 0 && i < g->candidates.n; i++) {
		read_row(g, &g->candidates.at[i], row);
		r = read_refs(g, &g->candidates.at[i], refs);
	}
	return r;
}

/* ---- 3: those that cannot stand ---- */

/* The candidate that reference k is to; NULL: a path of the manifest, or nothing. */
static struct ul_db_candidate *candidate_of(const struct ul_db_merge *g, uint64_t k)
{
	const struct ul_db_merge_row *row = ul_db_merge_row(g, g->refs.at[k]);

	return row && !row->lower ? &g->candidates.at[row->number] : NULL;
}

static int reverse(struct ul_db_merge *g, struct ul_referrers *ret)
{
	const struct ul_db_candidate *c = g->candidates.at;
	int r = ul_referrers_init(ret, g->candidates.n, g->refs.n);

	while (r == 0 && ul_referrers_pass(ret))
		for (size_t i = 0; i < g->candidates.n; i++)
			for (uint64_t k = c[i].first_ref; k < c[i].first_ref + c[i].n_refs; k++) {
				const struct ul_db_candidate *to = candidate_of(g, k);

				if (to)
					ul_referrers_add(ret, i, (size_t)(to - c));
			}
	return r < 0 ? ul_db_merge_nomem(g) : 0;
}

static bool goes_itself(const struct ul_db_candidate *c)
{
	return c->dropped && (c->why == UL_DB_MALFORMED || c->why == UL_DB_MISSING);
}

static bool was_lowers(const struct ul_db_merge *g, int64_t id, const struct ul_db_candidate *c)
{
	char path[UL_STORE_PATH_SIZE];

	return g->options->was_lowers &&
	       g->options->was_lowers(g->options->user, id, c && c->why == UL_DB_MISSING ? path_of(g, c, path) : NULL);
}

/* By what it refers to itself. What the lower lacks counts for more than what is damaged. */
static void judge_references(struct ul_db_merge *g, struct ul_db_candidate *c)
{
	for (uint64_t k = c->first_ref; k < c->first_ref + c->n_refs && (!c->dropped || c->why != UL_DB_VANISHED);
	     k++) {
		const struct ul_db_merge_row *row = ul_db_merge_row(g, g->refs.at[k]);
		const struct ul_db_candidate *to = candidate_of(g, k);

		if (to ? !goes_itself(to) : row != NULL)
			continue;
		c->dropped = true;
		c->why = was_lowers(g, g->refs.at[k], to) ? UL_DB_VANISHED : UL_DB_REFERENCE;
	}
}

/* What refers to a candidate that is dropped for this reason is so, too. */
static void spread(struct ul_db_merge *g, const struct ul_referrers *referrers, enum ul_db_drop why, uint32_t *stack)
{
	uint32_t top = 0;
	struct ul_db_candidate *c = g->candidates.at;

	for (uint32_t i = 0; i < g->candidates.n; i++)
		if (c[i].dropped && c[i].why == why)
			stack[top++] = i;
	while (top > 0) {
		uint32_t i = stack[--top];

		for (size_t k = referrers->first[i]; k < referrers->first[i + 1]; k++) {
			struct ul_db_candidate *from = &c[referrers->at[k]];

			if (from->dropped && (from->why == why || from->why != UL_DB_REFERENCE))
				continue;
			from->dropped = true;
			from->why = why;
			stack[top++] = referrers->at[k];
		}
	}
}

static int drop_referrers(struct ul_db_merge *g)
{
	ul_autofree uint32_t *stack = malloc((g->candidates.n + 1) * sizeof(*stack));
	struct ul_referrers referrers = {NULL};
	struct ul_db_candidate *c = g->candidates.at;
	char path[UL_STORE_PATH_SIZE];
	int r;

	if (!stack)
		return ul_db_merge_nomem(g);
	r = reverse(g, &referrers);
	for (size_t i = 0; r == 0 && i < g->candidates.n; i++)
		if (!c[i].dropped)
			judge_references(g, &c[i]);
	/* The lower's lack first: a row that goes for both is told of with that. */
	if (r == 0)
		spread(g, &referrers, UL_DB_VANISHED, stack);
	if (r == 0)
		spread(g, &referrers, UL_DB_REFERENCE, stack);
	for (size_t i = 0; r == 0 && i < g->candidates.n; i++)
		if (c[i].dropped)
			report_dropped(g, path_of(g, &c[i], path), c[i].why);
	ul_referrers_free(&referrers);
	return r;
}

/* ---- the whole ---- */

/* A log with rows stays for its owner; an empty one was made by SQLite just now, which removes it again. */
static int leave_log(struct ul_db_merge *g)
{
	ul_autofree char *log = NULL;
	struct stat st;

	if (asprintf(&log, "%s-wal", g->options->merge_from) < 0)
		return ul_db_merge_nomem(g);
	if (stat(log, &st) == 0 && st.st_size > 0)
		sqlite3_db_config(g->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* Then the log needs no index in a file. */
	sqlite3_exec(g->db, "pragma locking_mode = exclusive", NULL, NULL, NULL);
	return 0;
}

/*
 * Read-write where that is possible: SQLite then moves what a log holds into the file when it closes, so
 * that the file may be replaced. A file with a log's header on a read-only file system opens only as
 * immutable, which is right if there is no log.
 */
static int open_other(struct ul_db_merge *g)
{
	ul_autofree char *uri = NULL, *log = NULL;
	struct stat st;

	if (ul_sqlite_open(g->options->merge_from, SQLITE_OPEN_READWRITE, &g->db) != SQLITE_OK)
		return ul_db_merge_fail(g);
	if (g->options->look_only && leave_log(g) < 0)
		return -UL_E_MEMORY;
	if (sqlite3_exec(g->db, "select 1 from sqlite_schema", NULL, NULL, NULL) != SQLITE_OK) {
		int r = ul_db_merge_fail(g);

		if (sqlite3_errcode(g->db) != SQLITE_CANTOPEN)
			return r;
		if (asprintf(&log, "%s-wal", g->options->merge_from) < 0)
			return ul_db_merge_nomem(g);
		if (stat(log, &st) == 0 && st.st_size > 0)
			return r;
		sqlite3_close(g->db);
		if (ul_sqlite_open_immutable(g->options->merge_from, &g->db) != SQLITE_OK)
			return ul_db_merge_fail(g);
	}
	return 0;
}

static int load(struct ul_db_merge *g, struct ul_db_added **ret)
{
	int r = open_other(g);

	if (r == 0)
		r = find_candidates(g);
	if (r == 0)
		r = read_candidates(g);
	if (r == 0)
		r = drop_referrers(g);
	if (r == 0)
		r = ul_db_merge_compare_needed(g);
	if (r == 0)
		r = ul_db_merge_tables(g, ret);
	return r;
}

int ul_db_added_load(const struct ul_db_source *lower, const struct ul_db_options *options, struct ul_db_added **ret,
		     struct ul_error *err)
{
	struct ul_db_merge g = {.lower = lower, .options = options, .err = err};
	struct ul_db_added *added = NULL;
	int r;

	g.reader = ul_batch_reader_new(lower->manifest);
	r = g.reader ? load(&g, &added) : ul_db_merge_nomem(&g);
	if (sqlite3_close(g.db) != SQLITE_OK && r == 0)
		r = ul_db_merge_fail(&g);
	ul_batch_reader_free(g.reader);
	ul_vector_free(&g.rows);
	ul_vector_free(&g.candidates);
	ul_buffer_free(&g.names);
	ul_vector_free(&g.refs);
	if (r == 0)
		*ret = added;
	else
		ul_db_added_free(added);
	return r;
}
