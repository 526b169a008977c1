/*
 * The rows of the manifest's paths that the candidates which stand refer to, directly or through each other: the new
 * database has the manifest's word for them. Where the other one says otherwise, options->updated is told.
 *
 * A path that the other database alone had, and now the manifest has, is such a row as well.
 */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/database/merge/merge.h"
#include "dbgen/database/rows/row.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/text.h"

struct comparing {
	struct ul_db_merge *g;
	UL_VECTOR(struct ul_db_merge_row) needed;
	UL_VECTOR(uint32_t) numbers; /* of the paths that the row in work refers to, where all are the manifest's */
	struct ul_db_row_buffer buffer;
	struct ul_batch batch; /* the last one read */
	sqlite3_stmt *row, *refs;
};

static int need(struct comparing *c, int64_t id)
{
	struct ul_db_merge_row *row = ul_db_merge_row(c->g, id);

	if (!row || !row->lower || row->needed)
		return 0;
	row->needed = true;
	return ul_vector_push(&c->needed, *row) < 0 ? ul_db_merge_nomem(c->g) : 0;
}

static int need_refs(struct comparing *c, int64_t id)
{
	int r = 0, step = SQLITE_DONE;

	sqlite3_reset(c->refs);
	sqlite3_bind_int64(c->refs, 1, id);
	while (r == 0 && (step = sqlite3_step(c->refs)) == SQLITE_ROW)
		if (ul_db_foreign_id(c->refs, 0, &id))
			r = need(c, id);
	return r == 0 && step != SQLITE_DONE ? ul_db_merge_fail(c->g) : r;
}

/* Each row is needed once, so that circles end. */
static int find_needed(struct comparing *c)
{
	const struct ul_db_merge *g = c->g;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->candidates.n; i++) {
		const struct ul_db_candidate *from = &g->candidates.at[i];

		for (uint64_t k = from->first_ref; r == 0 && !from->dropped && k < from->first_ref + from->n_refs; k++)
			r = need(c, g->refs.at[k]);
	}
	for (size_t i = 0; r == 0 && i < c->needed.n; i++)
		r = need_refs(c, c->needed.at[i].id);
	return r;
}

static int by_number(const void *a, const void *b)
{
	const struct ul_db_merge_row *x = a, *y = b;

	return ul_order(x->number, y->number);
}

/* Its references, by number; *ret_same: they are those of path i of the batch. */
static int compare_refs(struct comparing *c, const struct ul_db_merge_row *row, uint32_t i, bool *ret_same)
{
	uint64_t n = c->batch.ref_off[i + 1] - c->batch.ref_off[i];
	bool same = true;
	int step = SQLITE_DONE;

	c->numbers.n = 0;
	sqlite3_reset(c->refs);
	sqlite3_bind_int64(c->refs, 1, row->id);
	while (same && (step = sqlite3_step(c->refs)) == SQLITE_ROW) {
		const struct ul_db_merge_row *to = NULL;
		int64_t id;

		if (ul_db_foreign_id(c->refs, 0, &id))
			to = ul_db_merge_row(c->g, id);
		same = to && to->lower && c->numbers.n < n;
		if (same && ul_vector_push(&c->numbers, to->number) < 0)
			return ul_db_merge_nomem(c->g);
	}
	if (same && step != SQLITE_DONE)
		return ul_db_merge_fail(c->g);
	ul_vector_sort(&c->numbers, ul_compare_u32);
	*ret_same = same && c->numbers.n == n &&
		    (n == 0 || !memcmp(c->numbers.at, c->batch.refs + c->batch.ref_off[i], n * sizeof(*c->numbers.at)));
	return 0;
}

static bool same_text(const char *a, const char *b, int b_len)
{
	return strlen(a ? a : "") == (size_t)b_len && (b_len == 0 || !memcmp(a, b, (size_t)b_len));
}

/* All but the registration time, which says nothing of the path. */
static bool same_values(const struct ul_db_foreign *old, const uint8_t *nar_hash, const struct ul_db_row *row)
{
	return !old->stripped && !memcmp(old->nar_hash, nar_hash, UL_NAR_HASH_SIZE) &&
	       old->nar_size == (uint64_t)row->nar_size && old->ultimate == row->ultimate &&
	       same_text(old->deriver, row->deriver, row->deriver_len) && same_text(old->ca, row->ca, row->ca_len) &&
	       ul_sigs_same(old->sigs ? old->sigs : "", old->sigs ? strlen(old->sigs) : 0, row->sigs ? row->sigs : "",
			    (size_t)row->sigs_len);
}

static int read_batch(struct comparing *c, uint32_t number)
{
	if (c->batch.n > 0 && number >= c->batch.first && number - c->batch.first < c->batch.n)
		return 0;
	c->batch.n = 0;
	return ul_manifest_read_batch(c->g->reader, number / UL_MANIFEST_BATCH, UL_COL_ALL, &c->batch, c->g->err);
}

static int compare(struct comparing *c, const struct ul_db_merge_row *old)
{
	struct ul_db_merge *g = c->g;
	struct ul_db_foreign values;
	struct ul_db_row row;
	bool same;
	uint32_t i;
	int r = read_batch(c, old->number);

	if (r < 0)
		return r;
	i = old->number - c->batch.first;
	r = ul_db_row(&c->buffer, &c->batch, i, &row, g->err);
	if (r < 0)
		return r;
	sqlite3_reset(c->row);
	sqlite3_bind_int64(c->row, 1, old->id);
	same = sqlite3_step(c->row) == SQLITE_ROW && ul_db_foreign_read(c->row, 0, g->lower->store_dir, &values) &&
	       same_values(&values, c->batch.nar_hash + (size_t)i * UL_NAR_HASH_SIZE, &row);
	if (same)
		r = compare_refs(c, old, i, &same);
	if (r == 0 && !same) {
		ul_autofree char *path = strndup(row.path, (size_t)row.path_len);

		if (!path)
			return ul_db_merge_nomem(g);
		g->options->updated(g->options->user, path);
	}
	return r;
}

int ul_db_merge_compare_needed(struct ul_db_merge *g)
{
	struct comparing c = {.g = g};
	int r;

	if (!g->options->updated)
		return 0;
	r = ul_db_row_buffer_init(&c.buffer, g->lower->store_dir, g->err);
	if (r == 0)
		r = ul_db_merge_prepare(g, "select " UL_DB_FOREIGN_COLUMNS " from ValidPaths where id = ?", &c.row);
	if (r == 0)
		r = ul_db_merge_prepare(g, "select distinct reference from Refs where referrer = ? order by reference",
					&c.refs);
	if (r == 0)
		r = find_needed(&c);
	/* In the manifest's order: so that each batch of it is read once. */
	ul_vector_sort(&c.needed, by_number);
	for (size_t i = 0; r == 0 && i < c.needed.n; i++)
		r = compare(&c, &c.needed.at[i]);
	sqlite3_finalize(c.row);
	sqlite3_finalize(c.refs);
	ul_db_row_buffer_free(&c.buffer);
	ul_vector_free(&c.needed);
	ul_vector_free(&c.numbers);
	return r;
}
