/* Filling the report of a run; see reconcile.h for what it holds, report.c for its form as JSON. */
#pragma once

#include "dbgen/reconcile/reconcile.h"

/* Count, and remember up to UL_RECONCILE_LISTED of an action. Both texts are copied, escaped and cut. 0 or -ENOMEM. */
int ul_report_add(struct ul_reconcile_report *report, enum ul_reconcile_action action, const char *name,
		  const char *why);

/*
 * A step that is tried again judges again. What it told until then of rows (invalidated, updated) is forgotten; what it
 * did and told stays.
 */
struct ul_report_mark {
	uint64_t n[UL_RECONCILE_N_ACTIONS], lost;
	size_t listed;
};
struct ul_report_mark ul_report_mark(const struct ul_reconcile_report *report);
void ul_report_forget_verdicts(struct ul_reconcile_report *report, const struct ul_report_mark *since);

/* All that it told: it will be told once more. */
void ul_report_forget(struct ul_reconcile_report *report, const struct ul_report_mark *since);
