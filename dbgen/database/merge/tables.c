/*
 * The merge's second half: the candidates that stand become columns like a manifest's, and their
 * derivation outputs and the realisations that lead to paths of the new database come along. See
 * merge.c.
 */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/database/merge/merge.h"

/* Columns while they grow. */
struct columns {
	struct ul_buffer digest, nar_hash;
	UL_VECTOR(uint64_t) nar_size;
	UL_VECTOR(int64_t) registered;
	UL_VECTOR(uint8_t) ultimate;
	UL_VECTOR(uint64_t) ref_off;
	UL_VECTOR(uint32_t) refs;
	UL_VECTOR(uint32_t) before;
	struct text {
		UL_VECTOR(uint32_t) off;
		struct ul_buffer bytes;
	} name, deriver, sigs, ca;
	uint32_t n;
};

static void free_text(struct text *t)
{
	ul_vector_free(&t->off);
	ul_buffer_free(&t->bytes);
}

static void free_columns(struct columns *c)
{
	ul_buffer_free(&c->digest);
	ul_buffer_free(&c->nar_hash);
	ul_vector_free(&c->nar_size);
	ul_vector_free(&c->registered);
	ul_vector_free(&c->ultimate);
	ul_vector_free(&c->ref_off);
	ul_vector_free(&c->refs);
	ul_vector_free(&c->before);
	free_text(&c->name);
	free_text(&c->deriver);
	free_text(&c->sigs);
	free_text(&c->ca);
}

static bool append(struct ul_buffer *b, const void *data, size_t len)
{
	return ul_buffer_append(b, data, len) == 0;
}

/* Offsets are written before each text and once behind the last one. */
static bool append_text(struct text *t, const void *text, size_t len)
{
	return t->bytes.len + len <= UINT32_MAX && ul_vector_push(&t->off, (uint32_t)t->bytes.len) == 0 &&
	       append(&t->bytes, text, len);
}

static bool append_optional(struct text *t, const char *text)
{
	return append_text(t, text, text ? strlen(text) : 0);
}

static bool append_refs(struct ul_db_merge *g, struct columns *to, const struct ul_db_candidate *c)
{
	size_t start = to->refs.n;

	if (ul_vector_push(&to->ref_off, to->refs.n) < 0)
		return false;
	for (uint64_t k = c->first_ref; k < c->first_ref + c->n_refs; k++) {
		uint32_t number;

		/* A row that stands refers only to rows that stand. */
		if (ul_db_merge_lookup(g, g->refs.at[k], &number) && ul_vector_push(&to->refs, number) < 0)
			return false;
	}
	if (to->refs.n > start)
		qsort(to->refs.at + start, to->refs.n - start, sizeof(*to->refs.at), ul_compare_u32);
	return true;
}

static bool append_row(struct ul_db_merge *g, struct columns *to, const struct ul_db_candidate *c,
		       const struct ul_db_foreign *row)
{
	to->n++;
	return append(&to->digest, c->digest, sizeof(c->digest)) && ul_vector_push(&to->before, c->before) == 0 &&
	       append(&to->nar_hash, row->nar_hash, sizeof(row->nar_hash)) &&
	       ul_vector_push(&to->nar_size, row->nar_size) == 0 &&
	       ul_vector_push(&to->registered, row->registered) == 0 &&
	       ul_vector_push(&to->ultimate, row->ultimate) == 0 &&
	       append_text(&to->name, g->names.data + c->name_off, c->name_len) &&
	       append_optional(&to->deriver, row->deriver) && append_optional(&to->sigs, row->sigs) &&
	       append_optional(&to->ca, row->ca) && append_refs(g, to, c);
}

static bool finish_text(struct text *t, struct ul_text_column *ret)
{
	/* An allocation even where all texts are empty: the column has a base to point into. */
	if (ul_vector_push(&t->off, (uint32_t)t->bytes.len) < 0 || ul_buffer_reserve(&t->bytes, 1) < 0)
		return false;
	ret->off = ul_steal(t->off.at);
	ret->bytes = (char *)ul_steal(t->bytes.data);
	return true;
}

static bool finish(struct columns *c, uint32_t first, struct ul_db_added *a)
{
	struct ul_batch *ret = &a->all;

	if (!finish_text(&c->name, &ret->name) || !finish_text(&c->deriver, &ret->deriver) ||
	    !finish_text(&c->sigs, &ret->sigs) || !finish_text(&c->ca, &ret->ca) ||
	    ul_vector_push(&c->ref_off, c->refs.n) < 0 || ul_vector_reserve(&c->refs, 1) < 0)
		return false;
	ret->first = first;
	ret->n = c->n;
	ret->digest = ul_steal(c->digest.data);
	ret->nar_hash = ul_steal(c->nar_hash.data);
	ret->nar_size = ul_steal(c->nar_size.at);
	ret->registered = ul_steal(c->registered.at);
	ret->ultimate = ul_steal(c->ultimate.at);
	ret->ref_off = ul_steal(c->ref_off.at);
	ret->refs = ul_steal(c->refs.at);
	a->before = ul_steal(c->before.at);
	return true;
}

static int gather_paths(struct ul_db_merge *g, struct columns *columns)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	int r = ul_db_merge_prepare(g, "select " UL_DB_FOREIGN_COLUMNS " from ValidPaths where id = ?", &row);

	for (uint32_t i = 0; r == 0 && i < g->candidates.n; i++) {
		const struct ul_db_candidate *c = &g->candidates.at[i];
		struct ul_db_foreign values;

		if (c->dropped)
			continue;
		sqlite3_bind_int64(row, 1, c->id);
		/* It was read before: nobody else writes it. */
		if (sqlite3_step(row) != SQLITE_ROW || !ul_db_foreign_read(row, 0, g->lower->store_dir, &values))
			r = ul_db_merge_fail(g);
		else if (!append_row(g, columns, c, &values))
			r = ul_db_merge_nomem(g);
		sqlite3_reset(row);
	}
	return r;
}

struct outputs {
	UL_VECTOR_MEMBERS(struct ul_drv_output);
};

/* A copy of the column's text. false: no memory. */
static bool own_text(sqlite3_stmt *row, int column, const char **ret)
{
	size_t len = 0;
	const char *text = ul_db_merge_text(row, column, &len);

	*ret = strndup(text ? text : "", len);
	return *ret;
}

static int outputs_of(struct ul_db_merge *g, const struct ul_db_candidate *c, sqlite3_stmt *rows, struct outputs *to)
{
	size_t first = to->n;
	int step;

	sqlite3_bind_int64(rows, 1, c->id);
	while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
		struct ul_drv_output output = {.drv = c->number};
		bool ok = own_text(rows, 0, &output.id) && own_text(rows, 1, &output.path) &&
			  ul_vector_push(to, output) == 0;

		if (!ok) {
			free((void *)output.id);
			free((void *)output.path);
			return ul_db_merge_nomem(g);
		}
		/* An index may hold a row any number of times. */
		if (to->n > first + 1 && strcmp(to->at[to->n - 2].id, output.id) >= 0)
			return ul_error_set(g->err, UL_E_DATABASE, ul_db_merging, g->options->merge_from, NULL,
					    "its outputs of derivations are out of order");
	}
	if (step != SQLITE_DONE)
		return ul_db_merge_fail(g);
	sqlite3_reset(rows);
	return 0;
}

static int gather_outputs(struct ul_db_merge *g, struct outputs *to)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r;

	r = ul_db_merge_prepare(g, "select id, path from DerivationOutputs where drv = ? order by id", &rows);
	for (uint32_t i = 0; r == 0 && i < g->candidates.n; i++)
		if (!g->candidates.at[i].dropped)
			r = outputs_of(g, &g->candidates.at[i], rows, to);
	return r;
}

/* Numbers behind the manifest's, in path order. Returns how many stand. */
static uint32_t number_candidates(struct ul_db_merge *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->candidates.n; i++)
		if (!g->candidates.at[i].dropped)
			g->candidates.at[i].number = g->lower->n_manifest + n++;
	return n;
}

static int gather(struct ul_db_merge *g, struct ul_db_added *a)
{
	UL_CLEANUP(free_columns) struct columns columns = {.n = 0};
	struct outputs outputs = {0};
	int r = gather_paths(g, &columns);

	if (r == 0 && !finish(&columns, g->lower->n_manifest, a))
		r = ul_db_merge_nomem(g);
	if (r < 0)
		return r;
	r = gather_outputs(g, &outputs);
	a->outputs = outputs.at;
	a->n_outputs = (uint32_t)outputs.n;
	if (r == 0)
		r = ul_db_merge_realisations(g, a);
	return r;
}

int ul_db_merge_tables(struct ul_db_merge *g, struct ul_db_added **ret)
{
	struct ul_db_added *a;
	int r;

	if ((uint64_t)g->lower->n_manifest + number_candidates(g) > UINT32_MAX - 1)
		return ul_error_set(g->err, UL_E_DATABASE, ul_db_merging, g->options->merge_from, NULL,
				    "with its rows a table would have more than 2^32 - 2");
	a = calloc(1, sizeof(*a));
	if (!a)
		return ul_db_merge_nomem(g);
	r = gather(g, a);
	if (r < 0)
		ul_db_added_free(a);
	else
		*ret = a;
	return r;
}
