/*
 * The merge's realisations (ca-derivations): those of the other database that lead to a path of the new
 * one and that the manifest does not have. A reference to one that does not come along is left out, as
 * Nix's own trigger DeleteSelfRefsViaRealisations does when a path is deleted.
 */
#include <stdlib.h>
#include <string.h>

#include "dbgen/database/merge/merge.h"

/* A realisation's old id and its number in the new database. */
struct known {
	int64_t id;
	uint32_t number;
};

static int by_old_id(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_name(const void *a, const void *b)
{
	const struct ul_realisation *x = a, *y = b;
	int order = strcmp(x->drv_path, y->drv_path);

	return order ? order : strcmp(x->output_name, y->output_name);
}

static void free_realisation(struct ul_realisation *r)
{
	free((void *)r->drv_path);
	free((void *)r->output_name);
	free((void *)r->signatures);
	free((void *)r->refs);
}

/* Columns: id, drvPath, outputName, outputPath, signatures. 1: taken; 0: not wanted. */
static int take_row(struct ul_db_merge *g, sqlite3_stmt *row, struct known *ret_known, struct ul_realisation *ret)
{
	const struct ul_realisation *manifest, *same = NULL;
	struct ul_realisation key = {.n_refs = 0};
	const char *signatures;
	size_t len;

	*ret_known = (struct known){.id = sqlite3_column_int64(row, 0)};
	key.drv_path = ul_db_merge_text(row, 1, &len);
	key.output_name = ul_db_merge_text(row, 2, &len);
	signatures = ul_db_merge_text(row, 4, &len);
	if (!key.drv_path || !key.output_name || !ul_db_merge_lookup(g, sqlite3_column_int64(row, 3), &key.output))
		return 0;
	manifest = g->lower->realisations;
	if (g->lower->n_realisations > 0)
		same = bsearch(&key, manifest, g->lower->n_realisations, sizeof(key), by_name);
	if (same) {
		ret_known->number = (uint32_t)(same - manifest);
		*ret = (struct ul_realisation){.drv_path = NULL};
		return 1;
	}
	key.drv_path = strdup(key.drv_path);
	key.output_name = strdup(key.output_name);
	key.signatures = signatures && *signatures ? strdup(signatures) : NULL;
	if (!key.drv_path || !key.output_name || (signatures && *signatures && !key.signatures)) {
		free_realisation(&key);
		return ul_db_merge_nomem(g);
	}
	*ret = key;
	return 1;
}

static int read_rows(struct ul_db_merge *g, struct ul_buffer *known, struct ul_buffer *taken)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int step = SQLITE_DONE;
	int r = ul_db_merge_prepare(g,
				    "select id, drvPath, outputName, outputPath, signatures"
				    " from Realisations order by drvPath, outputName, id",
				    &rows);

	while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
		uint32_t n = (uint32_t)(taken->len / sizeof(struct ul_realisation));
		struct ul_realisation realisation = {.drv_path = NULL};
		struct known k;

		r = take_row(g, rows, &k, &realisation);
		if (r <= 0)
			continue;
		r = 0;
		if (realisation.drv_path) {
			k.number = g->lower->n_realisations + n;
			if (ul_buffer_append(taken, &realisation, sizeof(realisation)) < 0) {
				free_realisation(&realisation);
				r = ul_db_merge_nomem(g);
			}
		}
		if (r == 0 && ul_buffer_append(known, &k, sizeof(k)) < 0)
			r = ul_db_merge_nomem(g);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = ul_db_merge_fail(g);
	if (r == 0 && known->len > 0)
		qsort(known->data, known->len / sizeof(struct known), sizeof(struct known), by_old_id);
	return r;
}

static int read_refs_of(struct ul_db_merge *g, const struct ul_buffer *known, int64_t id, sqlite3_stmt *rows,
			struct ul_realisation *to)
{
	struct ul_buffer refs = {0};
	int step;

	sqlite3_bind_int64(rows, 1, id);
	while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
		const struct known key = {.id = sqlite3_column_int64(rows, 0)}, *found;

		found = bsearch(&key, known->data, known->len / sizeof(key), sizeof(key), by_old_id);
		if (found && ul_buffer_append(&refs, &found->number, sizeof(found->number)) < 0) {
			ul_buffer_free(&refs);
			return ul_db_merge_nomem(g);
		}
	}
	to->refs = (uint32_t *)(void *)refs.data;
	to->n_refs = (uint32_t)(refs.len / sizeof(*to->refs));
	sqlite3_reset(rows);
	return step == SQLITE_DONE ? 0 : ul_db_merge_fail(g);
}

static int read_refs(struct ul_db_merge *g, const struct ul_buffer *known, struct ul_buffer *taken)
{
	struct ul_realisation *realisations = (struct ul_realisation *)(void *)taken->data;
	const struct known *k = (const struct known *)(const void *)known->data;
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r = ul_db_merge_prepare(g,
				    "select distinct realisationReference from RealisationsRefs"
				    " where referrer = ? and realisationReference is not null",
				    &rows);

	for (size_t i = 0; r == 0 && i < known->len / sizeof(*k); i++)
		if (k[i].number >= g->lower->n_realisations)
			r = read_refs_of(g, known, k[i].id, rows,
					 &realisations[k[i].number - g->lower->n_realisations]);
	return r;
}

int ul_db_merge_realisations(struct ul_db_merge *g, struct ul_db_added *a)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer known = {0};
	struct ul_buffer taken = {0};
	int r;

	if (sqlite3_table_column_metadata(g->db, NULL, "Realisations", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
		return 0;
	r = read_rows(g, &known, &taken);
	if (r == 0)
		r = read_refs(g, &known, &taken);
	a->realisations = (struct ul_realisation *)(void *)taken.data;
	a->n_realisations = (uint32_t)(taken.len / sizeof(*a->realisations));
	return r;
}
