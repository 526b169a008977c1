/*
 * What comes back refers to paths that are there: of this lower, of the upper with their rows, or coming back as well.
 * Each reference is looked at once, and each path that goes takes its referrers along by a list of work: whoever has
 * the disk wrote the references, as long a chain of them as he liked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dbgen/reconcile/restore.h"

static bool has_row(struct ul_agreement *a, const char *base)
{
	struct ul_saved_row row;
	int r = ul_saved_row_of_database(a->db.db, a->store_dir, base, &row);

	ul_saved_row_free(&row);
	return r != 0;
}

/* 1: this lower has it, or the upper has it with its row; 0: neither; -code. */
static int is_there(struct ul_agreement *a, const char *base)
{
	if (ul_upper_store_has(&a->store, base) && has_row(a, base))
		return 1;
	return ul_lower_rows_has(&a->lower, base, a->upper.err);
}

/* The paths referred to that do not come back themselves, sorted, and those of them that are nowhere. */
static int find_missing(struct ul_agreement *a, const struct ul_returning_list *list, struct ul_names *ret)
{
	ul_autonames struct ul_names others = {0};
	int r = 0;

	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; k < list->at[i].row.refs.n; k++)
			if (!ul_returning_find(list, list->at[i].row.refs.at[k]) &&
			    ul_names_add(&others, list->at[i].row.refs.at[k]) < 0)
				return ul_upper_dir_nomem(&a->upper);
	ul_names_sort(&others, true);
	for (size_t i = 0; r >= 0 && i < others.n; i++) {
		r = is_there(a, others.at[i]);
		if (r == 0 && ul_names_add(ret, others.at[i]) < 0)
			r = ul_upper_dir_nomem(&a->upper);
	}
	return r < 0 ? r : 0;
}

/* Counts are kept two places on, so that filling moves each start to where it belongs. */
static int find_referrers(const struct ul_returning_list *list, struct ul_returning_refs *ret)
{
	size_t n = list->n, sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += list->at[i].row.refs.n;
	ret->first = calloc(n + 2, sizeof(*ret->first));
	ret->at = malloc((sum + 1) * sizeof(*ret->at));
	ret->stack = malloc((n + 1) * sizeof(*ret->stack));
	if (!ret->first || !ret->at || !ret->stack)
		return -ENOMEM;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			const struct ul_names *refs = &list->at[i].row.refs;

			for (size_t k = 0; k < refs->n; k++) {
				const struct ul_returning *to = ul_returning_find(list, refs->at[k]);

				if (to && pass == 0)
					ret->first[to - list->at + 2]++;
				else if (to)
					ret->at[ret->first[to - list->at + 1]++] = i;
			}
		}
		for (size_t i = 2; pass == 0 && i < n + 2; i++)
			ret->first[i] += ret->first[i - 1];
	}
	return 0;
}

void ul_returning_refs_free(struct ul_returning_refs *refs)
{
	free(refs->first);
	free(refs->at);
	free(refs->stack);
}

void ul_returning_drop(struct ul_returning_list *list, struct ul_returning_refs *refs, size_t i)
{
	size_t top = 0;

	if (list->at[i].dropped)
		return;
	list->at[i].dropped = true;
	refs->stack[top++] = i;
	while (top > 0) {
		i = refs->stack[--top];
		for (size_t k = refs->first[i]; k < refs->first[i + 1]; k++) {
			struct ul_returning *from = &list->at[refs->at[k]];

			if (!from->dropped)
				refs->stack[top++] = refs->at[k];
			from->dropped = true;
		}
	}
}

int ul_returning_judge(struct ul_agreement *a, struct ul_returning_list *list, struct ul_returning_refs *ret)
{
	ul_autonames struct ul_names missing = {0};
	int r = find_missing(a, list, &missing);

	if (r == 0 && find_referrers(list, ret) < 0)
		r = ul_upper_dir_nomem(&a->upper);
	for (size_t i = 0; r == 0 && missing.n > 0 && i < list->n; i++)
		for (size_t k = 0; !list->at[i].dropped && k < list->at[i].row.refs.n; k++)
			if (ul_names_find(&missing, list->at[i].row.refs.at[k]))
				ul_returning_drop(list, ret, i);
	return r;
}
