/* Garbage-collection roots and profiles of the upper; see roots.c. */
#pragma once

#include "dbgen/reconcile/lower_rows.h"
#include "dbgen/reconcile/upper_store.h"

/* Report those that lead to no path; a bounded walk. */
int ul_roots_report(struct ul_upper_dir *u, const struct ul_upper_store *store, struct ul_lower_rows *lower);
