/*
 * The rows that another database (the upper's own) adds to the manifest's.
 *
 * Whoever can write an unencrypted upper can write this database, so nothing in it is believed: SQLite
 * runs no code of its schema, and every value is checked before it becomes a row. What it says of a
 * path of the manifest is not looked at.
 *
 * 1. Both lists of paths are read in path order and joined; what only the database has is a candidate.
 * 2. The candidates' columns and references (ids) are read.
 * 3. A candidate that cannot stand is dropped, and all that refer to it.
 * 4. The others get numbers behind the manifest's, and their columns become a batch.
 * 5. Their derivation outputs and realisations follow. (4 and 5: tables.c.)
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/encoding.h"
#include "dbgen/database/merge/merge.h"

const char ul_db_merging[] = "merging the upper's database";

#define DIGITS   32
#define MAX_TEXT (1 << 20) /* bytes of one deriver, list of signatures or content address */

int ul_db_merge_fail(struct ul_db_merge *g)
{
	return ul_sqlite_error(g->err, g->db, ul_db_merging, g->options->merge_from);
}

int ul_db_merge_nomem(struct ul_db_merge *g)
{
	return ul_error_nomem(g->err, ul_db_merging);
}

int ul_db_merge_prepare(struct ul_db_merge *g, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(g->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : ul_db_merge_fail(g);
}

const char *ul_db_merge_text(sqlite3_stmt *row, int column, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	size_t len = (size_t)sqlite3_column_bytes(row, column);

	if (!text || len > MAX_TEXT || strlen(text) != len)
		return NULL;
	*ret_len = len;
	return text;
}

/* ---- 1: the candidates ---- */

static int by_id(const void *a, const void *b)
{
	const struct ul_db_merge_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* "STORE_DIR/HASH-NAME" into digest and name. */
static bool parse_path(const struct ul_db_merge *g, const char *path, size_t len, uint8_t digest[UL_DIGEST_SIZE],
		       const char **ret_name, size_t *ret_len)
{
	size_t prefix = strlen(g->lower->store_dir);
	uint8_t value[UL_DIGEST_SIZE];

	if (len < prefix + 1 + DIGITS + 2 || len > prefix + 1 + DIGITS + 1 + UL_NAME_MAX ||
	    memcmp(path, g->lower->store_dir, prefix) != 0 || path[prefix] != '/' || path[prefix + 1 + DIGITS] != '-' ||
	    !ul_nix32_decode(path + prefix + 1, DIGITS, value, sizeof(value)))
		return false;
	*ret_name = path + prefix + 1 + DIGITS + 1;
	*ret_len = len - (prefix + 1 + DIGITS + 1);
	for (size_t i = 0; i < *ret_len; i++)
		if (!isalnum((unsigned char)(*ret_name)[i]) && !strchr("+-._?=", (*ret_name)[i]))
			return false;
	for (size_t i = 0; i < UL_DIGEST_SIZE; i++)
		digest[i] = value[UL_DIGEST_SIZE - 1 - i];
	return (*ret_name)[0] != '.' || *ret_len > 1;
}

/* Path order: digests as kept in manifests, then names byte by byte. */
static int compare(const uint8_t *digest_a, const char *name_a, size_t len_a, const uint8_t *digest_b,
		   const char *name_b, size_t len_b)
{
	int c = memcmp(digest_a, digest_b, UL_DIGEST_SIZE);

	if (c == 0)
		c = memcmp(name_a, name_b, len_a < len_b ? len_a : len_b);
	return c ? c : (len_a > len_b) - (len_a < len_b);
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
static int seek(struct ul_db_merge *g, struct cursor *c, const uint8_t *digest, const char *name, size_t len,
		bool *ret_found, uint32_t *ret_number)
{
	*ret_found = false;
	*ret_number = g->lower->n_manifest;
	for (;; c->i++) {
		const struct ul_batch *b = &c->batch;
		uint32_t off;
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
		off = b->name.off[c->i];
		order = compare(b->digest + (size_t)c->i * UL_DIGEST_SIZE, b->name.bytes + off,
				b->name.off[c->i + 1] - off, digest, name, len);
		if (order >= 0) {
			*ret_found = order == 0;
			*ret_number = b->first + c->i;
			return 0;
		}
	}
}

/* row->number: of the manifest's path behind it; becomes the candidate's. */
static int add_candidate(struct ul_db_merge *g, struct ul_db_merge_row *row, const uint8_t *digest, const char *name,
			 size_t len)
{
	struct ul_db_candidate c = {
		.id = row->id, .before = row->number, .name_off = (uint32_t)g->names.len, .name_len = (uint32_t)len};

	if (g->names.len + len > UINT32_MAX)
		return ul_db_merge_nomem(g);
	memcpy(c.digest, digest, sizeof(c.digest));
	row->number = ul_db_n_candidates(g);
	if (ul_buffer_append(&g->names, name, len) < 0 || ul_buffer_append(&g->candidates, &c, sizeof(c)) < 0)
		return ul_db_merge_nomem(g);
	return 0;
}

static void report_dropped(const struct ul_db_merge *g, const char *path)
{
	if (g->options->dropped)
		g->options->dropped(g->options->user, path);
}

/* The path that the join was at before: the next must come behind it. */
struct last {
	uint8_t digest[UL_DIGEST_SIZE];
	char name[UL_NAME_MAX];
	size_t len;
};

/* An index in disorder would slip paths of the manifest past the join. */
static int check_order(struct ul_db_merge *g, struct last *last, const uint8_t *digest, const char *name, size_t len)
{
	if (last->len > 0 && compare(last->digest, last->name, last->len, digest, name, len) >= 0)
		return ul_error_set(g->err, UL_E_DATABASE, ul_db_merging, g->options->merge_from, NULL,
				    "its index of paths is out of order");
	memcpy(last->digest, digest, sizeof(last->digest));
	memcpy(last->name, name, len);
	last->len = len;
	return 0;
}

static int join_row(struct ul_db_merge *g, struct cursor *cursor, struct last *last, sqlite3_stmt *rows)
{
	struct ul_db_merge_row row = {.id = sqlite3_column_int64(rows, 0)};
	uint8_t digest[UL_DIGEST_SIZE];
	const char *path, *name;
	size_t len, name_len;
	int r;

	path = ul_db_merge_text(rows, 1, &len);
	if (!path || !parse_path(g, path, len, digest, &name, &name_len)) {
		report_dropped(g, path ? path : "");
		return 0;
	}
	r = check_order(g, last, digest, name, name_len);
	if (r == 0)
		r = seek(g, cursor, digest, name, name_len, &row.lower, &row.number);
	if (r == 0 && !row.lower)
		r = add_candidate(g, &row, digest, name, name_len);
	if (r == 0 && ul_buffer_append(&g->rows, &row, sizeof(row)) < 0)
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
	if (r == 0 && g->rows.len > 0)
		qsort(g->rows.data, g->rows.len / sizeof(struct ul_db_merge_row), sizeof(struct ul_db_merge_row),
		      by_id);
	return r;
}

/* ---- ids of the other database ---- */

bool ul_db_merge_lookup(const struct ul_db_merge *g, int64_t id, uint32_t *ret)
{
	const struct ul_db_merge_row key = {.id = id}, *row;

	row = bsearch(&key, g->rows.data, g->rows.len / sizeof(key), sizeof(key), by_id);
	if (!row)
		return false;
	if (row->lower) {
		*ret = row->number;
		return true;
	}
	*ret = ul_db_candidates(g)[row->number].number;
	return !ul_db_candidates(g)[row->number].dropped;
}

/* ---- 2: what candidates refer to ---- */

static char *path_of(const struct ul_db_merge *g, const struct ul_db_candidate *c)
{
	char digits[DIGITS + 1], *path;
	uint8_t value[UL_DIGEST_SIZE];

	for (size_t i = 0; i < UL_DIGEST_SIZE; i++)
		value[i] = c->digest[UL_DIGEST_SIZE - 1 - i];
	ul_nix32_encode(value, sizeof(value), digits);
	if (asprintf(&path, "%s/%s-%.*s", g->lower->store_dir, digits, (int)c->name_len,
		     (const char *)g->names.data + c->name_off) < 0)
		return NULL;
	return path;
}

/* "sha256:" and hexadecimal, as Nix writes it. */
bool ul_db_merge_hash(const char *text, size_t len, uint8_t ret[UL_NAR_HASH_SIZE])
{
	return text && len > 7 && memcmp(text, "sha256:", 7) == 0 &&
	       ul_hex_decode(text + 7, len - 7, ret, UL_NAR_HASH_SIZE);
}

static int read_row(struct ul_db_merge *g, struct ul_db_candidate *c, sqlite3_stmt *row)
{
	uint8_t hash[UL_NAR_HASH_SIZE];
	size_t len = 0;
	const char *text;

	sqlite3_bind_int64(row, 1, c->id);
	if (sqlite3_step(row) != SQLITE_ROW) {
		c->dropped = true; /* the index has it, the table has not */
	} else {
		text = ul_db_merge_text(row, 0, &len);
		c->dropped = !ul_db_merge_hash(text, len, hash);
	}
	if (!c->dropped && g->options->exists) {
		ul_autofree char *path = path_of(g, c);

		if (!path)
			return ul_db_merge_nomem(g);
		c->dropped = !g->options->exists(g->options->user, path);
	}
	sqlite3_reset(row);
	return 0;
}

static int read_refs(struct ul_db_merge *g, struct ul_db_candidate *c, sqlite3_stmt *refs)
{
	int step;

	c->first_ref = g->refs.len / sizeof(int64_t);
	sqlite3_bind_int64(refs, 1, c->id);
	while ((step = sqlite3_step(refs)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(refs, 0);

		if (c->n_refs == UINT32_MAX || ul_buffer_append(&g->refs, &id, sizeof(id)) < 0)
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

	r = ul_db_merge_prepare(g, "select hash from ValidPaths where id = ?", &row);
	if (r == 0)
		r = ul_db_merge_prepare(g, "select distinct reference from Refs where referrer = ?", &refs);
	for (uint32_t i = 0; r == 0 && i < ul_db_n_candidates(g); i++) {
		r = read_row(g, &ul_db_candidates(g)[i], row);
		if (r == 0)
			r = read_refs(g, &ul_db_candidates(g)[i], refs);
	}
	return r;
}

/* ---- 3: those that cannot stand ---- */

/* The candidate that reference k is to; -1: a path of the manifest; -2: nothing. */
static int64_t candidate_of(const struct ul_db_merge *g, uint64_t k)
{
	const struct ul_db_merge_row *row;
	struct ul_db_merge_row key = {.lower = false};

	memcpy(&key.id, g->refs.data + k * sizeof(key.id), sizeof(key.id));
	row = bsearch(&key, g->rows.data, g->rows.len / sizeof(key), sizeof(key), by_id);
	if (!row)
		return -2;
	return row->lower ? -1 : (int64_t)row->number;
}

/*
 * Who refers to whom, the other way round: referrers of i are at[first[i]] .. at[first[i + 1]). A reference to
 * nothing drops its candidate here.
 */
static int reverse(struct ul_db_merge *g, uint64_t **ret_first, uint32_t **ret_at)
{
	uint32_t n = ul_db_n_candidates(g);
	ul_autofree uint64_t *first = calloc((size_t)n + 2, sizeof(*first));
	ul_autofree uint32_t *at = malloc((g->refs.len / sizeof(int64_t) + 1) * sizeof(*at));
	struct ul_db_candidate *c = ul_db_candidates(g);

	if (!first || !at)
		return ul_db_merge_nomem(g);
	/* Counts are kept two places on, so that filling moves each start to where it belongs. */
	for (uint32_t i = 0; i < n; i++)
		for (uint64_t k = c[i].first_ref; k < c[i].first_ref + c[i].n_refs; k++) {
			int64_t to = candidate_of(g, k);

			if (to == -2)
				c[i].dropped = true;
			else if (to >= 0)
				first[to + 2]++;
		}
	for (uint32_t i = 2; i < n + 2; i++)
		first[i] += first[i - 1];
	for (uint32_t i = 0; i < n; i++)
		for (uint64_t k = c[i].first_ref; k < c[i].first_ref + c[i].n_refs; k++) {
			int64_t to = candidate_of(g, k);

			if (to >= 0)
				at[first[to + 1]++] = i;
		}
	*ret_first = ul_steal(first);
	*ret_at = ul_steal(at);
	return 0;
}

static int drop_referrers(struct ul_db_merge *g)
{
	uint32_t n = ul_db_n_candidates(g), top = 0;
	ul_autofree uint32_t *stack = malloc(((size_t)n + 1) * sizeof(*stack));
	ul_autofree uint64_t *first = NULL;
	ul_autofree uint32_t *at = NULL;
	struct ul_db_candidate *c = ul_db_candidates(g);
	int r;

	if (!stack)
		return ul_db_merge_nomem(g);
	r = reverse(g, &first, &at);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++)
		if (c[i].dropped)
			stack[top++] = i;
	while (top > 0) {
		uint32_t i = stack[--top];

		for (uint64_t k = first[i]; k < first[i + 1]; k++)
			if (!c[at[k]].dropped) {
				c[at[k]].dropped = true;
				stack[top++] = at[k];
			}
	}
	for (uint32_t i = 0; i < n; i++)
		if (c[i].dropped) {
			ul_autofree char *path = path_of(g, &c[i]);

			if (!path)
				return ul_db_merge_nomem(g);
			report_dropped(g, path);
		}
	return 0;
}

/* ---- the whole ---- */

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
	if (sqlite3_exec(g->db, "select 1 from sqlite_schema", NULL, NULL, NULL) != SQLITE_OK) {
		int r = ul_db_merge_fail(g);

		if (sqlite3_errcode(g->db) != SQLITE_CANTOPEN)
			return r;
		if (asprintf(&log, "%s-wal", g->options->merge_from) < 0)
			return ul_db_merge_nomem(g);
		if (stat(log, &st) == 0 && st.st_size > 0)
			return r;
		uri = ul_sqlite_immutable_uri(g->options->merge_from);
		if (!uri)
			return ul_db_merge_nomem(g);
		sqlite3_close(g->db);
		if (ul_sqlite_open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &g->db) != SQLITE_OK)
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
	ul_buffer_free(&g.rows);
	ul_buffer_free(&g.candidates);
	ul_buffer_free(&g.names);
	ul_buffer_free(&g.refs);
	if (r == 0)
		*ret = added;
	else
		ul_db_added_free(added);
	return r;
}
