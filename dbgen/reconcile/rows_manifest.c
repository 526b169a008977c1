/* The rows of the upper's database that stand, and what they need of the lower, as a manifest. */
#include <search.h>
#include <string.h>

#include "common/file.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/reconcile/rows.h"

static const char what[] = "gathering the rows of the upper's database";

struct gathering {
	const struct ul_rows_source *from;
	struct ul_builder *builder;
	struct ul_error *err;
	struct ul_names wanted; /* base names of the lower's paths */
	void *known;            /* tsearch(3): those in `wanted` */
	struct ul_names refs;   /* of the path in work */
};

static int nomem(struct gathering *g)
{
	return ul_error_nomem(g->err, what);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A path of the lower is to be in the database, too. */
static int want(struct gathering *g, const char *base)
{
	if (tfind(base, &g->known, compare_names))
		return 0;
	if (ul_names_add(&g->wanted, base) < 0 || !tsearch(g->wanted.at[g->wanted.n - 1], &g->known, compare_names))
		return nomem(g);
	return 0;
}

static int gather_refs(struct gathering *g, const struct ul_row *row)
{
	const struct ul_rows *rows = g->from->rows;

	ul_names_free(&g->refs);
	for (uint32_t i = 0; i < row->n_refs; i++) {
		const struct ul_row *to = ul_rows_find(rows, rows->refs.at[row->first_ref + i]);
		const char *base = ul_rows_text(rows, to->base);

		if (ul_names_take(&g->refs, ul_path_join(g->from->store_dir, base)) < 0)
			return nomem(g);
	}
	return 0;
}

static const char *optional(const struct gathering *g, size_t offset)
{
	return offset ? ul_rows_text(g->from->rows, offset) : NULL;
}

static int add_row(struct gathering *g, const struct ul_row *row, sqlite3_stmt *outputs)
{
	ul_autofree char *path = ul_path_join(g->from->store_dir, ul_rows_text(g->from->rows, row->base));
	struct ul_path_info info = {.path = path,
				    .deriver = optional(g, row->deriver),
				    .nar_size = row->nar_size,
				    .registered = row->registered,
				    .ultimate = row->ultimate,
				    .sigs = optional(g, row->sigs),
				    .ca = optional(g, row->ca)};
	int r = path ? gather_refs(g, row) : nomem(g);

	if (r < 0)
		return r;
	memcpy(info.nar_hash, row->nar_hash, sizeof(info.nar_hash));
	info.refs = (const char *const *)g->refs.at;
	info.n_refs = g->refs.n;
	r = ul_builder_add(g->builder, &info, g->err);
	sqlite3_reset(outputs);
	sqlite3_bind_int64(outputs, 1, row->id);
	while (r == 0 && sqlite3_step(outputs) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(outputs, 0);
		const char *to = (const char *)sqlite3_column_text(outputs, 1);

		/* One that Nix could not have written is not carried on. */
		if (id && to)
			r = ul_builder_add_drv_output(g->builder, path, id, to, g->err);
		if (r == -UL_E_INPUT)
			r = 0;
	}
	return r;
}

static int add_rows(struct gathering *g)
{
	ul_autostatement sqlite3_stmt *outputs = NULL;
	int r = 0;

	/* Where there is no such table there are no outputs: the statement stays NULL. */
	(void)sqlite3_prepare_v2(g->from->db, "select id, path from DerivationOutputs where drv = ? group by id", -1,
				 &outputs, NULL);
	for (size_t i = 0; r == 0 && i < g->from->rows->list.n; i++) {
		const struct ul_row *row = &g->from->rows->list.at[i];

		if (row->fate != UL_FATE_KEPT)
			continue;
		if (!row->lower)
			r = add_row(g, row, outputs);
		else if (row->needed)
			r = want(g, ul_rows_text(g->from->rows, row->base));
	}
	return r;
}

/* The lower's paths that are wanted, and those that they refer to. */
static int add_wanted(struct gathering *g)
{
	size_t dir = strlen(g->from->store_dir) + 1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->wanted.n; i++) {
		const char *base = g->wanted.at[i];
		struct ul_path_info info;

		r = ul_lower_rows_info(g->from->lower, base, &info, g->err);
		if (r == 0)
			return ul_error_set(g->err, UL_E_DATABASE, what, base, "Build the image again.",
					    "the lower's database lacks a path of its manifest");
		if (r > 0)
			r = ul_builder_add(g->builder, &info, g->err);
		for (size_t k = 0; r == 0 && k < info.n_refs; k++)
			r = want(g, info.refs[k] + dir);
		if (r == 0)
			r = ul_lower_rows_outputs(g->from->lower, base, g->builder, g->err);
	}
	return r;
}

/* The path of a row that is kept, by its id; NULL: it is not. */
static char *path_of(const struct gathering *g, int64_t id)
{
	const struct ul_row *row = ul_rows_find(g->from->rows, id);

	if (!row || row->fate != UL_FATE_KEPT ||
	    (row->lower && !tfind(ul_rows_text(g->from->rows, row->base), &g->known, compare_names)))
		return NULL;
	return ul_path_join(g->from->store_dir, ul_rows_text(g->from->rows, row->base));
}

static int add_realisations(struct gathering *g)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(g->from->db,
			       "select drvPath, outputName, outputPath, signatures from Realisations"
			       " where drvPath is not null and outputName is not null"
			       " group by drvPath, outputName",
			       -1, &q, NULL) != SQLITE_OK)
		return 0;
	while (r == 0 && sqlite3_step(q) == SQLITE_ROW) {
		const char *drv = (const char *)sqlite3_column_text(q, 0);
		const char *name = (const char *)sqlite3_column_text(q, 1);
		const char *sigs = (const char *)sqlite3_column_text(q, 3);
		ul_autofree char *path = path_of(g, sqlite3_column_int64(q, 2));

		if (!path || !drv || !name)
			continue;
		r = ul_builder_add_realisation(g->builder, drv, name, path, sigs, g->err);
		if (r == -UL_E_INPUT)
			r = 0;
	}
	return r;
}

static void keep(void *node)
{
	(void)node; /* `wanted` owns the texts */
}

int ul_rows_manifest(const struct ul_rows_source *from, struct ul_buffer *bytes, struct ul_manifest **ret,
		     struct ul_error *err)
{
	struct gathering g = {.from = from, .err = err, .builder = ul_builder_new(from->store_dir)};
	int r = g.builder ? add_rows(&g) : nomem(&g);

	if (r == 0)
		r = add_wanted(&g);
	if (r == 0)
		r = add_realisations(&g);
	if (r == 0)
		r = ul_builder_finish(g.builder, bytes, err);
	if (r == 0)
		r = ul_manifest_open_memory(bytes->data, bytes->len, ret, err);
	tdestroy(g.known, keep);
	ul_names_free(&g.refs);
	ul_names_free(&g.wanted);
	ul_builder_free(g.builder);
	return r;
}
