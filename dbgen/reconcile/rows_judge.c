/*
 * The fate of each row of the upper's database:
 *   the lower's path                                            kept where a row of the upper needs it, with what this
 *                                                               lower says of it; else it goes without a word
 *   the upper's, no entry in store/                             gone
 *   the upper's, registered since the mark, NAR hash differs    broken
 *   refers to a path of the lower before that this one lacks    vanished, and what refers to it likewise
 *   refers to another row that is not kept, or to no row        not kept either
 */
#include <stdlib.h>
#include <string.h>

#include "common/names.h"
#include "common/referrers.h"
#include "dbgen/reconcile/rows.h"

static const char what[] = "judging the rows of the upper's database";

static int nomem(const struct ul_rows_judge *by)
{
	return ul_error_nomem(by->err, what);
}

/* ---- fates ---- */

static int judge_row(const struct ul_rows_judge *by, struct ul_rows *rows, struct ul_row *row)
{
	const char *base = ul_rows_text(rows, row->base);
	int r;

	/* Judged before: what others go for is found out anew. */
	if (row->fate == UL_FATE_VANISHED || row->fate == UL_FATE_REFERENCE)
		row->fate = UL_FATE_KEPT;
	if (row->lower) {
		/* Whatever it says: the lower knows better. */
		row->differs = row->fate != UL_FATE_KEPT;
		row->fate = UL_FATE_KEPT;
		return 0;
	}
	if (row->fate != UL_FATE_KEPT)
		return 0;
	if (!ul_upper_store_has(by->store, base)) {
		row->fate = UL_FATE_GONE;
		return 0;
	}
	/* A row of a damaged database is believed only where the files bear it out. */
	if (!rows->damaged && row->id <= by->checked_id)
		return 0;
	r = ul_upper_store_check(by->store, base, row->nar_hash, row->nar_size, by->err);
	if (r == 0)
		row->fate = UL_FATE_BROKEN;
	return r < 0 ? r : 0;
}

struct named {
	const char *base;
	struct ul_row *row;
};

static int by_base(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return strcmp(x->base, y->base);
}

/* A path given twice: the index has one of the rows, and nobody knows which. */
static int find_doubles(const struct ul_rows_judge *by, struct ul_rows *rows)
{
	size_t n = rows->list.n, kept = 0;
	ul_autofree struct named *list = malloc((n + 1) * sizeof(*list));

	if (!list)
		return nomem(by);
	for (size_t i = 0; i < n; i++) {
		struct ul_row *row = &rows->list.at[i];

		if (row->fate == UL_FATE_KEPT)
			list[kept++] = (struct named){ul_rows_text(rows, row->base), row};
	}
	qsort(list, kept, sizeof(*list), by_base);
	for (size_t i = 1; i < kept; i++)
		if (!strcmp(list[i - 1].base, list[i].base)) {
			struct ul_row *row = list[i].row;

			row->differs = row->lower;
			row->fate = row->lower ? UL_FATE_KEPT : UL_FATE_MALFORMED;
		}
	return 0;
}

static int find_referrers(const struct ul_rows *rows, struct ul_referrers *ret)
{
	const struct ul_row *list = rows->list.at;
	int r = ul_referrers_init(ret, rows->list.n, rows->refs.n);

	while (r == 0 && ul_referrers_pass(ret))
		for (size_t i = 0; i < rows->list.n; i++)
			/* A row of the lower takes the lower's references. */
			for (uint32_t k = 0; k < list[i].n_refs && !list[i].lower; k++) {
				const struct ul_row *to = ul_rows_find(rows, rows->refs.at[list[i].first_ref + k]);

				if (to)
					ul_referrers_add(ret, i, (size_t)(to - list));
			}
	return r;
}

/* It goes for what it is itself. */
static bool goes_itself(const struct ul_row *row)
{
	return row->fate == UL_FATE_MALFORMED || row->fate == UL_FATE_GONE || row->fate == UL_FATE_BROKEN;
}

/* What a reference does to the row that has it. */
static enum ul_fate fate_by(const struct ul_rows_judge *by, const struct ul_rows *rows, int64_t id)
{
	const struct ul_row *to = ul_rows_find(rows, id);

	if (to && !goes_itself(to))
		return UL_FATE_KEPT;
	return by->before && ul_marks_was_lowers(by->before, id, to && to->fate == UL_FATE_GONE) ? UL_FATE_VANISHED
												 : UL_FATE_REFERENCE;
}

/* By the rows that it refers to itself. What this lower lacks counts for more than what is damaged. */
static void judge_references(const struct ul_rows_judge *by, const struct ul_rows *rows, struct ul_row *row)
{
	for (uint32_t k = 0; k < row->n_refs && row->fate != UL_FATE_VANISHED; k++) {
		enum ul_fate fate = fate_by(by, rows, rows->refs.at[row->first_ref + k]);

		if (fate != UL_FATE_KEPT)
			row->fate = fate;
	}
}

/* A row that refers to one of this fate has it, too. */
static void spread(struct ul_rows *rows, const struct ul_referrers *referrers, enum ul_fate fate, size_t *stack)
{
	size_t top = 0;
	struct ul_row *list = rows->list.at;

	for (size_t i = 0; i < rows->list.n; i++)
		if (list[i].fate == fate)
			stack[top++] = i;
	while (top > 0) {
		size_t i = stack[--top];

		for (size_t k = referrers->first[i]; k < referrers->first[i + 1]; k++) {
			struct ul_row *row = &list[referrers->at[k]];

			if (row->fate == fate || (row->fate != UL_FATE_KEPT && row->fate != UL_FATE_REFERENCE))
				continue;
			row->fate = fate;
			stack[top++] = referrers->at[k];
		}
	}
}

/* A row that refers to one that goes, goes too. */
static int drop_referrers(const struct ul_rows_judge *by, struct ul_rows *rows)
{
	struct ul_referrers referrers = {NULL};
	ul_autofree size_t *stack = malloc((rows->list.n + 1) * sizeof(*stack));
	int r = stack ? find_referrers(rows, &referrers) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < rows->list.n; i++) {
		struct ul_row *row = &rows->list.at[i];

		if (!row->lower && row->fate == UL_FATE_KEPT)
			judge_references(by, rows, row);
	}
	/* This lower's fault first: a row that has both goes for that. */
	if (r == 0)
		spread(rows, &referrers, UL_FATE_VANISHED, stack);
	if (r == 0)
		spread(rows, &referrers, UL_FATE_REFERENCE, stack);
	ul_referrers_free(&referrers);
	return r < 0 ? nomem(by) : 0;
}

int ul_rows_judge(struct ul_rows *rows, const struct ul_rows_judge *by)
{
	int r = ul_rows_find_lower(rows, by);

	for (size_t i = 0; r == 0 && i < rows->list.n; i++)
		r = judge_row(by, rows, &rows->list.at[i]);
	if (r == 0)
		r = find_doubles(by, rows);
	if (r == 0)
		r = drop_referrers(by, rows);
	return r < 0 ? r : ul_rows_compare_needed(rows, by);
}

int ul_rows_report(const struct ul_rows *rows, struct ul_upper_dir *u)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < rows->list.n; i++) {
		const struct ul_row *row = &rows->list.at[i];
		const char *base = ul_rows_text(rows, row->base);

		if (row->fate != UL_FATE_KEPT)
			r = ul_fate_report(u, base, row->fate);
		else if (row->needed && row->differs)
			r = ul_fate_report_updated(u, base);
	}
	return r;
}
