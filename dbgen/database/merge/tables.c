/*
 * The merge's second half: the candidates that stand become columns like a manifest's, and their
 * derivation outputs and the realisations that lead to paths of the new database come along. See
 * merge.c.
 */
#include <stdlib.h>
#include <string.h>

#include "dbgen/database/merge/merge.h"

/* Columns while they grow. */
struct columns {
	struct ul_buffer digest, nar_hash, nar_size, registered, ultimate, ref_off, refs, before;
	struct text {
		struct ul_buffer off, bytes;
	} name, deriver, sigs, ca;
	uint64_t n_refs;
	uint32_t n;
};

static void free_text(struct text *t)
{
	ul_buffer_free(&t->off);
	ul_buffer_free(&t->bytes);
}

static void free_columns(struct columns *c)
{
	ul_buffer_free(&c->digest);
	ul_buffer_free(&c->nar_hash);
	ul_buffer_free(&c->nar_size);
	ul_buffer_free(&c->registered);
	ul_buffer_free(&c->ultimate);
	ul_buffer_free(&c->ref_off);
	ul_buffer_free(&c->refs);
	ul_buffer_free(&c->before);
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
	uint32_t off = (uint32_t)t->bytes.len;

	return t->bytes.len + len <= UINT32_MAX && append(&t->off, &off, sizeof(off)) && append(&t->bytes, text, len);
}

static bool append_column(struct text *t, sqlite3_stmt *row, int column, bool absolute)
{
	size_t len = 0;
	const char *text = ul_db_merge_text(row, column, &len);

	if (!text || (absolute && text[0] != '/'))
		len = 0;
	return append_text(t, text, len);
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool append_refs(struct ul_db_merge *g, struct columns *to, const struct ul_db_candidate *c)
{
	size_t start = to->refs.len;

	if (!append(&to->ref_off, &to->n_refs, sizeof(to->n_refs)))
		return false;
	for (uint64_t k = c->first_ref; k < c->first_ref + c->n_refs; k++) {
		uint32_t number;
		int64_t id;

		memcpy(&id, g->refs.data + k * sizeof(id), sizeof(id));
		/* Who stands refers to none that does not. */
		if (ul_db_merge_lookup(g, id, &number) && !append(&to->refs, &number, sizeof(number)))
			return false;
	}
	if (to->refs.len > start)
		qsort(to->refs.data + start, (to->refs.len - start) / sizeof(uint32_t), sizeof(uint32_t), by_number);
	to->n_refs = to->refs.len / sizeof(uint32_t);
	return true;
}

/* Columns of the statement: hash, registrationTime, deriver, narSize, ultimate, sigs, ca. */
static bool append_row(struct ul_db_merge *g, struct columns *to, const struct ul_db_candidate *c, sqlite3_stmt *row)
{
	int64_t registered = sqlite3_column_int64(row, 1), size = sqlite3_column_int64(row, 3);
	uint8_t hash[UL_NAR_HASH_SIZE] = {0}, ultimate = sqlite3_column_int64(row, 4) != 0;
	size_t hash_len = 0;
	const char *text = ul_db_merge_text(row, 0, &hash_len);

	if (size < 0)
		size = 0;
	ul_db_merge_hash(text, hash_len, hash);
	to->n++;
	return append(&to->digest, c->digest, sizeof(c->digest)) &&
	       append(&to->before, &c->before, sizeof(c->before)) && append(&to->nar_hash, hash, sizeof(hash)) &&
	       append(&to->nar_size, &size, sizeof(size)) && append(&to->registered, &registered, sizeof(registered)) &&
	       append(&to->ultimate, &ultimate, 1) &&
	       append_text(&to->name, g->names.data + c->name_off, c->name_len) &&
	       append_column(&to->deriver, row, 2, true) && append_column(&to->sigs, row, 5, false) &&
	       append_column(&to->ca, row, 6, false) && append_refs(g, to, c);
}

static bool finish_text(struct text *t, struct ul_text_column *ret)
{
	uint32_t off = (uint32_t)t->bytes.len;

	/* An allocation even where all texts are empty: the column has a base to point into. */
	if (!append(&t->off, &off, sizeof(off)) || ul_buffer_reserve(&t->bytes, 1) < 0)
		return false;
	*ret = (struct ul_text_column){(uint32_t *)(void *)t->off.data, (char *)t->bytes.data};
	t->off = t->bytes = (struct ul_buffer){0};
	return true;
}

static void *take(struct ul_buffer *b)
{
	void *data = b->data;

	*b = (struct ul_buffer){0};
	return data;
}

static bool finish(struct columns *c, uint32_t first, struct ul_db_added *a)
{
	struct ul_batch *ret = &a->all;

	if (!finish_text(&c->name, &ret->name) || !finish_text(&c->deriver, &ret->deriver) ||
	    !finish_text(&c->sigs, &ret->sigs) || !finish_text(&c->ca, &ret->ca) ||
	    !append(&c->ref_off, &c->n_refs, sizeof(c->n_refs)) || ul_buffer_reserve(&c->refs, 1) < 0)
		return false;
	ret->first = first;
	ret->n = c->n;
	ret->digest = take(&c->digest);
	ret->nar_hash = take(&c->nar_hash);
	ret->nar_size = take(&c->nar_size);
	ret->registered = take(&c->registered);
	ret->ultimate = take(&c->ultimate);
	ret->ref_off = take(&c->ref_off);
	ret->refs = take(&c->refs);
	a->before = take(&c->before);
	return true;
}

static int gather_paths(struct ul_db_merge *g, struct columns *columns)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	int r;

	r = ul_db_merge_prepare(g,
				"select hash, registrationTime, deriver, narSize, ultimate, sigs,"
				" ca from ValidPaths where id = ?",
				&row);
	for (uint32_t i = 0; r == 0 && i < ul_db_n_candidates(g); i++) {
		const struct ul_db_candidate *c = &ul_db_candidates(g)[i];

		if (c->dropped)
			continue;
		sqlite3_bind_int64(row, 1, c->id);
		if (sqlite3_step(row) != SQLITE_ROW)
			r = ul_db_merge_fail(g);
		else if (!append_row(g, columns, c, row))
			r = ul_db_merge_nomem(g);
		sqlite3_reset(row);
	}
	return r;
}

/* A text of its own; NULL: no memory. */
static bool own_text(sqlite3_stmt *row, int column, const char **ret)
{
	size_t len = 0;
	const char *text = ul_db_merge_text(row, column, &len);

	*ret = strndup(text ? text : "", len);
	return *ret;
}

static int outputs_of(struct ul_db_merge *g, const struct ul_db_candidate *c, sqlite3_stmt *rows, struct ul_buffer *to)
{
	int step;

	sqlite3_bind_int64(rows, 1, c->id);
	while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
		struct ul_drv_output output = {.drv = c->number};
		bool ok = own_text(rows, 0, &output.id) && own_text(rows, 1, &output.path) &&
			  append(to, &output, sizeof(output));

		if (!ok) {
			free((void *)output.id);
			free((void *)output.path);
			return ul_db_merge_nomem(g);
		}
	}
	if (step != SQLITE_DONE)
		return ul_db_merge_fail(g);
	sqlite3_reset(rows);
	return 0;
}

static int gather_outputs(struct ul_db_merge *g, struct ul_buffer *to)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r;

	r = ul_db_merge_prepare(g, "select id, path from DerivationOutputs where drv = ? order by id", &rows);
	for (uint32_t i = 0; r == 0 && i < ul_db_n_candidates(g); i++)
		if (!ul_db_candidates(g)[i].dropped)
			r = outputs_of(g, &ul_db_candidates(g)[i], rows, to);
	return r;
}

/* Numbers behind the manifest's, in path order. Returns how many stand. */
static uint32_t number_candidates(struct ul_db_merge *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ul_db_n_candidates(g); i++)
		if (!ul_db_candidates(g)[i].dropped)
			ul_db_candidates(g)[i].number = g->lower->n_manifest + n++;
	return n;
}

static int gather(struct ul_db_merge *g, struct ul_db_added *a)
{
	UL_CLEANUP(free_columns) struct columns columns = {.n = 0};
	struct ul_buffer outputs = {0};
	int r = gather_paths(g, &columns);

	if (r == 0 && !finish(&columns, g->lower->n_manifest, a))
		r = ul_db_merge_nomem(g);
	if (r < 0)
		return r;
	r = gather_outputs(g, &outputs);
	a->outputs = (struct ul_drv_output *)(void *)outputs.data;
	a->n_outputs = (uint32_t)(outputs.len / sizeof(*a->outputs));
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
				    "too many rows");
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

static void free_batch(struct ul_batch *b)
{
	const struct ul_text_column *const texts[] = {&b->name, &b->deriver, &b->sigs, &b->ca};

	for (size_t i = 0; i < UL_ARRAY_SIZE(texts); i++) {
		free((void *)texts[i]->off);
		free((void *)texts[i]->bytes);
	}
	free((void *)b->digest);
	free((void *)b->nar_hash);
	free((void *)b->nar_size);
	free((void *)b->registered);
	free((void *)b->ultimate);
	free((void *)b->ref_off);
	free((void *)b->refs);
}

void ul_db_added_free(struct ul_db_added *a)
{
	if (!a)
		return;
	free_batch(&a->all);
	free(a->before);
	for (uint32_t i = 0; i < a->n_outputs; i++) {
		free((void *)a->outputs[i].id);
		free((void *)a->outputs[i].path);
	}
	free(a->outputs);
	for (uint32_t i = 0; i < a->n_realisations; i++) {
		free((void *)a->realisations[i].drv_path);
		free((void *)a->realisations[i].output_name);
		free((void *)a->realisations[i].signatures);
		free((void *)a->realisations[i].refs);
	}
	free(a->realisations);
	free(a);
}
