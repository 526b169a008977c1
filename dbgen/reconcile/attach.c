/*
 * Attach: Nix reads the lower's own database in place, and the upper's database holds what the upper's paths need: their
 * rows, and copies of the lower's rows that they refer to (Nix's local-overlay store makes a copy, with everything that
 * it refers to, whenever it is asked whether a path of the lower is valid).
 *
 * At every boot each copy is compared with the lower. Where all is right, the database stays as it is. Else a new one is
 * written from the rows that stand and from the lower's own word for its paths.
 */
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "dbgen/database/db.h"
#include "dbgen/reconcile/internal.h"

/* ---- the rows that stand, as a manifest ---- */

struct gathering {
	struct ul_rc *c;
	const struct ul_rc_rows *rows;
	struct ul_builder *builder;
	struct ul_buffer wanted; /* char *: base names of the lower's paths, owned by `known` */
	void *known;             /* tsearch(3): those in `wanted` */
	struct ul_buffer refs;   /* char *: of the path in work, owned */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A path of the lower is to be in the database, too. */
static int want(struct gathering *g, const char *base)
{
	char *name;
	void *node;

	if (tfind(base, &g->known, compare_names))
		return 0;
	name = strdup(base);
	node = name ? tsearch(name, &g->known, compare_names) : NULL;
	if (!node)
		free(name);
	if (!node || ul_buffer_append(&g->wanted, &name, sizeof(name)) < 0)
		return ul_rc_nomem(g->c);
	return 0;
}

static void free_refs(struct gathering *g)
{
	for (size_t i = 0; i < g->refs.len / sizeof(char *); i++)
		free(((char **)(void *)g->refs.data)[i]);
	g->refs.len = 0;
}

static int gather_refs(struct gathering *g, const struct ul_rc_row *row)
{
	int r = 0;

	free_refs(g);
	for (uint32_t i = 0; r == 0 && i < row->n_refs; i++) {
		const struct ul_rc_row *to = ul_rc_rows_find(g->rows, ul_rc_row_refs(g->rows, row)[i]);
		const char *base = ul_rc_text(g->rows, to->base);
		char *path = ul_path_join(g->c->store_dir, base);

		if (!path || ul_buffer_append(&g->refs, &path, sizeof(path)) < 0) {
			free(path);
			return ul_rc_nomem(g->c);
		}
		if (to->lower)
			r = want(g, base);
	}
	return r;
}

static const char *optional(const struct gathering *g, size_t offset)
{
	return offset ? ul_rc_text(g->rows, offset) : NULL;
}

static int add_row(struct gathering *g, const struct ul_rc_row *row, sqlite3_stmt *outputs)
{
	ul_autofree char *path = ul_path_join(g->c->store_dir, ul_rc_text(g->rows, row->base));
	struct ul_path_info info = {.path = path,
				    .deriver = optional(g, row->deriver),
				    .nar_size = row->nar_size,
				    .registered = row->registered,
				    .ultimate = row->ultimate != 0,
				    .sigs = optional(g, row->sigs),
				    .ca = optional(g, row->ca)};
	int r = path ? gather_refs(g, row) : ul_rc_nomem(g->c);

	if (r < 0)
		return r;
	memcpy(info.nar_hash, row->nar_hash, sizeof(info.nar_hash));
	info.refs = (const char *const *)(void *)g->refs.data;
	info.n_refs = g->refs.len / sizeof(char *);
	r = ul_builder_add(g->builder, &info, g->c->err);
	sqlite3_reset(outputs);
	sqlite3_bind_int64(outputs, 1, row->id);
	while (r == 0 && sqlite3_step(outputs) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(outputs, 0);
		const char *to = (const char *)sqlite3_column_text(outputs, 1);

		/* One that Nix could not have written is not carried on. */
		if (id && to)
			r = ul_builder_add_drv_output(g->builder, path, id, to, g->c->err);
		if (r == -UL_E_INPUT)
			r = 0;
	}
	return r;
}

static int add_rows(struct gathering *g, sqlite3 *db, bool prune)
{
	ul_autostatement sqlite3_stmt *outputs = NULL;
	int r = 0;

	/* Where the table is not there, or none, there are no outputs: the statement stays NULL. */
	(void)sqlite3_prepare_v2(db, "select id, path from DerivationOutputs where drv = ? group by id", -1, &outputs,
				 NULL);
	for (size_t i = 0; r == 0 && i < ul_rc_n_rows(g->rows); i++) {
		const struct ul_rc_row *row = &ul_rc_row_list(g->rows)[i];

		if (row->fate != UL_RC_KEPT)
			continue;
		if (!row->lower)
			r = add_row(g, row, outputs);
		else if (!prune)
			r = want(g, ul_rc_text(g->rows, row->base));
	}
	return r;
}

/* What is wanted of the lower, and what that refers to. */
static int add_wanted(struct gathering *g)
{
	size_t dir = strlen(g->c->store_dir) + 1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->wanted.len / sizeof(char *); i++) {
		const char *base = ((char **)(void *)g->wanted.data)[i];
		struct ul_path_info info;

		r = ul_rc_lower_info(&g->c->lower, base, &info, g->c->err);
		if (r == 0)
			return ul_error_set(g->c->err, UL_E_DATABASE, ul_rc_what, base, "Build the image again.",
					    "the lower's database lacks a path of its manifest");
		if (r > 0)
			r = ul_builder_add(g->builder, &info, g->c->err);
		for (size_t k = 0; r == 0 && k < info.n_refs; k++)
			r = want(g, info.refs[k] + dir);
		if (r == 0)
			r = ul_rc_lower_outputs(&g->c->lower, base, g->builder, g->c->err);
	}
	return r;
}

/* The path of a row that is kept, by its id; NULL: it is not. */
static char *path_of(const struct gathering *g, int64_t id)
{
	const struct ul_rc_row *row = ul_rc_rows_find(g->rows, id);

	if (!row || row->fate != UL_RC_KEPT ||
	    (row->lower && !tfind(ul_rc_text(g->rows, row->base), &g->known, compare_names)))
		return NULL;
	return ul_path_join(g->c->store_dir, ul_rc_text(g->rows, row->base));
}

static int add_realisations(struct gathering *g, sqlite3 *db)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db,
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
		r = ul_builder_add_realisation(g->builder, drv, name, path, sigs, g->c->err);
		if (r == -UL_E_INPUT)
			r = 0;
	}
	return r;
}

static int gather(struct gathering *g, sqlite3 *db, bool prune)
{
	int r = add_rows(g, db, prune);

	if (r == 0)
		r = add_wanted(g);
	if (r == 0)
		r = add_realisations(g, db);
	return r;
}

int ul_rc_rows_manifest(struct ul_rc *c, sqlite3 *db, const struct ul_rc_rows *rows, bool prune,
			struct ul_buffer *bytes, struct ul_manifest **ret)
{
	struct gathering g = {.c = c, .rows = rows, .builder = ul_builder_new(c->store_dir)};
	int r = g.builder ? gather(&g, db, prune) : ul_rc_nomem(c);

	if (r == 0)
		r = ul_builder_finish(g.builder, bytes, c->err);
	if (r == 0)
		r = ul_manifest_open_memory(bytes->data, bytes->len, ret, c->err);
	tdestroy(g.known, free);
	free_refs(&g);
	ul_buffer_free(&g.refs);
	ul_buffer_free(&g.wanted);
	ul_builder_free(g.builder);
	return r;
}

/* ---- the mode ---- */

/* What only a look through the whole database shows; it is the upper's, so small. */
static bool is_sound(sqlite3 *db)
{
	ul_autostatement sqlite3_stmt *q = NULL;

	return sqlite3_prepare_v2(db, "pragma integrity_check(1)", -1, &q, NULL) == SQLITE_OK &&
	       sqlite3_step(q) == SQLITE_ROW && !strcmp((const char *)sqlite3_column_text(q, 0), "ok");
}

static bool must_be_written(const struct ul_rc *c, const struct ul_rc_rows *rows, bool intact, bool prune)
{
	if (!intact || rows->damaged || !c->schema_right)
		return true;
	for (size_t i = 0; i < ul_rc_n_rows(rows); i++) {
		const struct ul_rc_row *row = &ul_rc_row_list(rows)[i];

		if (row->fate != UL_RC_KEPT || row->differs || row->stripped || (prune && row->lower))
			return true;
	}
	return false;
}

static int write_database(struct ul_rc *c, sqlite3 **db, const struct ul_rc_rows *rows, bool prune)
{
	static const struct ul_db_options options = {.durable = true};
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *m = NULL;
	int r = ul_rc_rows_manifest(c, *db, rows, prune, &bytes, &m);

	if (r == 0)
		r = ul_rc_db_close(c, ul_steal(*db));
	if (r == 0) {
		r = ul_rc_upper_error(c, ul_db_build(m, c->db_fd, ".", &options, c->err));
		c->max_id = ul_manifest_n_paths(m);
	}
	ul_manifest_close(m);
	return r;
}

static int quarantine_broken(struct ul_rc *c, const struct ul_rc_rows *rows)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ul_rc_n_rows(rows); i++)
		if (ul_rc_row_list(rows)[i].fate == UL_RC_BROKEN)
			r = ul_rc_remove_broken(c, ul_rc_text(rows, ul_rc_row_list(rows)[i].base));
	return r;
}

static int agree(struct ul_rc *c, sqlite3 **db, bool intact, struct ul_rc_rows *rows)
{
	bool prune = !c->before.known || c->before.rebuild;
	int r = ul_rc_rows_load(c, *db, rows);

	if (r == 0 && !is_sound(*db))
		rows->damaged = true;
	if (r == 0)
		r = ul_rc_rows_judge(c, rows, prune);
	if (r == 0)
		r = ul_rc_rows_report(c, rows);
	for (size_t i = 0; i < ul_rc_n_rows(rows); i++)
		c->report->upper_paths += ul_rc_row_list(rows)[i].fate == UL_RC_KEPT && !ul_rc_row_list(rows)[i].lower;
	if (r < 0 || c->o->dry_run)
		return r;
	c->report->database_kept = !must_be_written(c, rows, intact, prune);
	if (c->report->database_kept)
		return 0;
	r = quarantine_broken(c, rows);
	return r < 0 ? r : write_database(c, db, rows, prune);
}

int ul_rc_attach(struct ul_rc *c)
{
	struct ul_rc_rows rows = {.damaged = false};
	bool intact = false;
	sqlite3 *db = NULL;
	int r = ul_rc_db_open(c, &db, &intact);

	if (r == 0 && !db) {
		/* Nix makes a new one, where the file `schema` does not tell it that there is one. */
		c->report->database_kept = true;
		c->report->was_clean = c->marked && c->marked_id == 0;
		if (c->db_fd >= 0 && !c->o->dry_run)
			(void)unlinkat(c->db_fd, "schema", 0);
		return 0;
	}
	if (r == 0)
		r = ul_rc_db_max_id(db, &c->max_id) < 0 ? 0 : r;
	c->report->was_clean = c->marked && c->marked_id == c->max_id;
	if (r == 0)
		r = agree(c, &db, intact, &rows);
	sqlite3_close(db);
	ul_rc_rows_free(&rows);
	return r;
}
