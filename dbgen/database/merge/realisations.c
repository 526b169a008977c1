/*
 * The merge's realisations (ca-derivations): those of the other database that lead to a path of the new
 * one and that the manifest does not have. A reference to one that does not come along is left out, as
 * Nix's own trigger DeleteSelfRefsViaRealisations does when a path is deleted.
 */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/database/merge/merge.h"

/* A realisation's old id and its number in the new database. */
struct known {
	int64_t id;
	uint32_t number;
};

struct known_list {
	UL_VECTOR_MEMBERS(struct known);
};

struct taken_list {
	UL_VECTOR_MEMBERS(struct ul_realisation);
};

static int by_old_id(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return ul_order(x->id, y->id);
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

static int read_rows(struct ul_db_merge *g, struct known_list *known, struct taken_list *taken)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int step = SQLITE_DONE;
	int r = ul_db_merge_prepare(g,
				    "select id, drvPath, outputName, outputPath, signatures"
				    " from Realisations order by drvPath, outputName, id",
				    &rows);

	while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
		uint32_t n = (uint32_t)taken->n;
		struct ul_realisation realisation = {.drv_path = NULL};
		struct known k;

		r = take_row(g, rows, &k, &realisation);
		if (r <= 0)
			continue;
		r = 0;
		if (realisation.drv_path) {
			k.number = g->lower->n_realisations + n;
			if (ul_vector_push(taken, realisation) < 0) {
				free_realisation(&realisation);
				r = ul_db_merge_nomem(g);
			}
		}
		if (r == 0 && ul_vector_push(known, k) < 0)
			r = ul_db_merge_nomem(g);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = ul_db_merge_fail(g);
	ul_vector_sort(known, by_old_id);
	return r;
}

static int read_refs_of(struct ul_db_merge *g, const struct known_list *known, int64_t id, sqlite3_stmt *rows,
			struct ul_realisation *to)
{
	UL_VECTOR(uint32_t) refs = {0};
	int step;

	sqlite3_bind_int64(rows, 1, id);
	while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
		const struct known key = {.id = sqlite3_column_int64(rows, 0)}, *found;

		found = bsearch(&key, known->at, known->n, sizeof(key), by_old_id);
		if (found && ul_vector_push(&refs, found->number) < 0) {
			ul_vector_free(&refs);
			return ul_db_merge_nomem(g);
		}
	}
	to->refs = refs.at;
	to->n_refs = (uint32_t)refs.n;
	sqlite3_reset(rows);
	return step == SQLITE_DONE ? 0 : ul_db_merge_fail(g);
}

static int read_refs(struct ul_db_merge *g, const struct known_list *known, struct taken_list *taken)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r = ul_db_merge_prepare(g,
				    "select distinct realisationReference from RealisationsRefs"
				    " where referrer = ? and realisationReference is not null",
				    &rows);

	for (size_t i = 0; r == 0 && i < known->n; i++)
		if (known->at[i].number >= g->lower->n_realisations)
			r = read_refs_of(g, known, known->at[i].id, rows,
					 &taken->at[known->at[i].number - g->lower->n_realisations]);
	return r;
}

int ul_db_merge_realisations(struct ul_db_merge *g, struct ul_db_added *a)
{
	struct known_list known = {0};
	struct taken_list taken = {0};
	int r;

	if (!ul_sqlite_has_table(g->db, "Realisations"))
		return 0;
	r = read_rows(g, &known, &taken);
	if (r == 0)
		r = read_refs(g, &known, &taken);
	ul_vector_free(&known);
	a->realisations = taken.at;
	a->n_realisations = (uint32_t)taken.n;
	return r;
}
