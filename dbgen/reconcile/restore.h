/* The way back: what another lower superseded is the machine's again; see restore.c. */
#pragma once

#include <limits.h>

#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/saved_row.h"

/*
 * Over another lower than the recorded one: move back, with its row, what the quarantine holds as superseded and this
 * lower does not seal. Before supersede.c looks, and before the rows are judged. In a dry run nothing moves: the store
 * is told what would (a->store.coming). 0, -UL_E_UPPER, -UL_E_MEMORY, or of the lower -UL_E_MANIFEST, -UL_E_DATABASE,
 * -UL_E_CORRUPT.
 */
int ul_restore(struct ul_agreement *a);

/* ---- restore_rows.c ---- */

/* A path that comes back. */
struct ul_returning {
	char *base;
	unsigned int run;         /* of the list of runs */
	char entry[NAME_MAX + 1]; /* its name in that run */
	struct ul_saved_row row;
	bool dropped; /* it cannot come back now: it refers to what is not there */
};

struct ul_returning_list {
	UL_VECTOR_MEMBERS(struct ul_returning);
};

/* By base name, in a list that is sorted by it; NULL: it is not there, or dropped. */
struct ul_returning *ul_returning_find(const struct ul_returning_list *list, const char *base);

/*
 * Write the rows of those that are not dropped into the database, which is open, in one transaction. 1; 0: the database
 * cannot take them, why is in a->upper.err, and it is as it was; or -code.
 */
int ul_restore_rows(struct ul_agreement *a, const struct ul_returning_list *list);
