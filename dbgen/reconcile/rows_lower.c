/*
 * Which rows of the upper's database are of the lower's paths, which of those a row of the upper needs, and what the
 * lower says of these. Nix copies the rows of everything that it looks at in an attached store, a whole image's at a
 * collection, so the others must cost little: they are only looked up, in the manifest's order.
 */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/manifest/text.h"
#include "dbgen/reconcile/rows.h"

static const char what[] = "comparing the upper's database with the lower";

static int nomem(const struct ul_rows_judge *by)
{
	return ul_error_nomem(by->err, what);
}

/* A row and its name. */
struct named {
	const char *base;
	struct ul_row *row;
};

struct named_list {
	UL_VECTOR_MEMBERS(struct named);
};

static int by_base(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return strcmp(x->base, y->base);
}

static bool add_named(struct named_list *list, const struct ul_rows *rows, struct ul_row *row)
{
	return ul_vector_push(list, ((struct named){ul_rows_text(rows, row->base), row})) == 0;
}

/* Beyond so many paths for each batch of the manifest it is sooner unpacked than they are asked for one by one. */
#define MANY 16

/* 1: the lower has this path; 0; or -code. The paths come in the manifest's order. */
static int lower_has(const struct ul_rows_judge *by, const char *base, bool many)
{
	uint32_t number;

	return many ? ul_manifest_find(by->lower->manifest, base, &number, by->err)
		    : ul_lower_rows_has(by->lower, base, by->err);
}

int ul_rows_find_lower(struct ul_rows *rows, const struct ul_rows_judge *by)
{
	struct named_list list = {0};
	bool many = rows->list.n / MANY > ul_manifest_n_batches(by->lower->manifest);
	int r = 0;

	for (size_t i = 0; r == 0 && i < rows->list.n; i++) {
		struct ul_row *row = &rows->list.at[i];

		row->lower = row->needed = false;
		if (row->named && !add_named(&list, rows, row))
			r = nomem(by);
	}
	ul_vector_sort(&list, by_base);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		r = lower_has(by, list.at[i].base, many);
		list.at[i].row->lower = r > 0;
	}
	ul_vector_free(&list);
	return r < 0 ? r : 0;
}

/* ---- which are needed ---- */

/* The rows that are found needed, in that order: what they refer to is needed, too. */
struct needed {
	const struct ul_rows_judge *by;
	struct ul_rows *rows;
	struct named_list list;
};

static int need(struct needed *n, int64_t id)
{
	struct ul_row *row = ul_rows_find(n->rows, id);

	if (!row || !row->lower || row->needed)
		return 0;
	row->needed = true;
	return add_named(&n->list, n->rows, row) ? 0 : nomem(n->by);
}

static int need_refs(struct needed *n, const struct ul_row *row)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < row->n_refs; i++)
		r = need(n, n->rows->refs.at[row->first_ref + i]);
	return r;
}

/* What the user's own builds of content-addressed derivations came out as may be sealed. */
static int need_realised(struct needed *n)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r = 0;

	if (!n->by->db ||
	    sqlite3_prepare_v2(n->by->db, "select outputPath from Realisations", -1, &q, NULL) != SQLITE_OK)
		return 0;
	while (r == 0 && sqlite3_step(q) == SQLITE_ROW)
		r = need(n, sqlite3_column_int64(q, 0));
	return r;
}

static int find_needed(struct needed *n)
{
	int r = need_realised(n);

	for (size_t i = 0; r == 0 && i < n->rows->list.n; i++) {
		const struct ul_row *row = &n->rows->list.at[i];

		if (!row->lower && row->fate == UL_FATE_KEPT)
			r = need_refs(n, row);
	}
	for (size_t i = 0; r == 0 && i < n->list.n; i++)
		r = need_refs(n, n->list.at[i].row);
	return r;
}

/* ---- what the lower says of them ---- */

static bool same_refs(const struct ul_rows_judge *by, const struct ul_rows *rows, const struct ul_row *row,
		      const struct ul_path_info *info)
{
	ul_autofree const char **refs = NULL;
	size_t dir = strlen(by->store_dir) + 1;

	if (row->n_refs != info->n_refs)
		return false;
	if (row->n_refs == 0)
		return true;
	refs = malloc(row->n_refs * sizeof(*refs));
	if (!refs)
		return false;
	for (uint32_t i = 0; i < row->n_refs; i++) {
		const struct ul_row *to = ul_rows_find(rows, rows->refs.at[row->first_ref + i]);

		if (!to)
			return false;
		refs[i] = ul_rows_text(rows, to->base);
	}
	qsort(refs, row->n_refs, sizeof(*refs), ul_compare_texts);
	for (uint32_t i = 0; i < row->n_refs; i++)
		if (strcmp(refs[i], info->refs[i] + dir) != 0)
			return false;
	return true;
}

static bool same_sigs(const char *a, const char *b)
{
	return ul_sigs_same(a, strlen(a), b, strlen(b));
}

static bool same_text(const struct ul_rows *rows, size_t offset, const char *text)
{
	return !strcmp(ul_rows_text(rows, offset), text ? text : "");
}

static int compare_with_lower(const struct ul_rows_judge *by, const struct ul_rows *rows, struct ul_row *row)
{
	struct ul_path_info info;
	int r = ul_lower_rows_info(by->lower, ul_rows_text(rows, row->base), &info, by->err);

	if (r < 0)
		return r;
	/* Nix copies all but the registration time, which some versions set anew. */
	row->differs = r == 0 || row->stripped || memcmp(row->nar_hash, info.nar_hash, UL_NAR_HASH_SIZE) != 0 ||
		       row->nar_size != info.nar_size || row->ultimate != info.ultimate ||
		       !same_text(rows, row->deriver, info.deriver) ||
		       !same_sigs(ul_rows_text(rows, row->sigs), info.sigs ? info.sigs : "") ||
		       !same_text(rows, row->ca, info.ca) || !same_refs(by, rows, row, &info);
	return 0;
}

int ul_rows_compare_needed(struct ul_rows *rows, const struct ul_rows_judge *by)
{
	struct needed n = {.by = by, .rows = rows};
	int r = find_needed(&n);

	/* In the manifest's order: so that each batch of it is read once. */
	ul_vector_sort(&n.list, by_base);
	for (size_t i = 0; r == 0 && i < n.list.n; i++)
		if (!n.list.at[i].row->differs)
			r = compare_with_lower(by, rows, n.list.at[i].row);
	ul_vector_free(&n.list);
	return r;
}
