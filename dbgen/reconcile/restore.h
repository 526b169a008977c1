/* The way back: what another lower superseded is the machine's again; see restore.c. */
#pragma once

#include <limits.h>

#include "common/referrers.h"
#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/saved_row.h"

/*
 * Over another lower than the recorded one: move back, with its row, what the quarantine holds as superseded and this
 * lower does not seal. Before supersede.c looks, and before the rows are judged. In a dry run nothing moves: the store
 * is told what would (a->store.coming). 0, -UL_E_UPPER, -UL_E_MEMORY, or of the lower -UL_E_MANIFEST, -UL_E_DATABASE,
 * -UL_E_CORRUPT. -UL_E_UPPER: it may be tried again with more room, and the machine starts without.
 */
int ul_restore(struct ul_agreement *a);

/* A path that comes back. */
struct ul_returning {
	char *base;
	unsigned int run;         /* of the list of runs */
	char entry[NAME_MAX + 1]; /* its name in that run */
	struct ul_saved_row row;
	bool dropped; /* it cannot come back now */
	bool moved;
};

struct ul_returning_list {
	UL_VECTOR_MEMBERS(struct ul_returning);
};

/* ---- restore_refs.c ---- */

/* Who of the list refers to whom, by numbers. */
struct ul_returning_refs {
	struct ul_referrers referrers;
	size_t *stack;
};

/* Find it out, and drop what refers to a path that is nowhere. 0 or -code. Free *ret also then. */
int ul_returning_judge(struct ul_agreement *a, struct ul_returning_list *list, struct ul_returning_refs *ret);
void ul_returning_refs_free(struct ul_returning_refs *refs);

/* Drop number i, and what refers to it. */
void ul_returning_drop(struct ul_returning_list *list, struct ul_returning_refs *refs, size_t i);

/* ---- restore_rows.c ---- */

/* By base name, in a list that is sorted by it; NULL: it is not there, or dropped. */
struct ul_returning *ul_returning_find(const struct ul_returning_list *list, const char *base);

/*
 * Write the rows of those that are not dropped into the database, which is open, in one transaction. 1; 0: the database
 * cannot take them, why is in a->upper.err, and it is as it was; or -code.
 */
int ul_restore_rows(struct ul_agreement *a, const struct ul_returning_list *list);
