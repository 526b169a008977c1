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

static int find_referrers(const struct ul_returning_list *list, struct ul_returning_refs *ret)
{
	size_t sum = 0;
	int r;

	for (size_t i = 0; i < list->n; i++)
		sum += list->at[i].row.refs.n;
	ret->stack = malloc((list->n + 1) * sizeof(*ret->stack));
	r = ret->stack ? ul_referrers_init(&ret->referrers, list->n, sum) : -ENOMEM;
	while (r == 0 && ul_referrers_pass(&ret->referrers))
		for (size_t i = 0; i < list->n; i++)
			for (size_t k = 0; k < list->at[i].row.refs.n; k++) {
				const struct ul_returning *to = ul_returning_find(list, list->at[i].row.refs.at[k]);

				if (to)
					ul_referrers_add(&ret->referrers, i, (size_t)(to - list->at));
			}
	return r;
}

void ul_returning_refs_free(struct ul_returning_refs *refs)
{
	ul_referrers_free(&refs->referrers);
	free(refs->stack);
}

void ul_returning_drop(struct ul_returning_list *list, struct ul_returning_refs *refs, size_t i)
{
	const struct ul_referrers *referrers = &refs->referrers;
	size_t top = 0;

	if (list->at[i].dropped)
		return;
	list->at[i].dropped = true;
	refs->stack[top++] = i;
	while (top > 0) {
		i = refs->stack[--top];
		for (size_t k = referrers->first[i]; k < referrers->first[i + 1]; k++) {
			struct ul_returning *from = &list->at[referrers->at[k]];

			if (!from->dropped)
				refs->stack[top++] = referrers->at[k];
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
