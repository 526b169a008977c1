/* Filling the report of a run; see reconcile.h for what it holds, report.c for its form as JSON. */
#pragma once

#include "dbgen/reconcile/reconcile.h"

/* Count, and remember up to UL_RECONCILE_LISTED of an action. Both texts are copied, escaped and cut. 0 or -ENOMEM. */
int ul_report_add(struct ul_reconcile_report *report, enum ul_reconcile_action action, const char *name,
		  const char *why);

/* What a report says of rows, at one moment: to take back what an attempt added that came to nothing. */
struct ul_report_rows {
	size_t listed;
	uint64_t invalidated, updated, lost;
};

struct ul_report_rows ul_report_rows(const struct ul_reconcile_report *report);
void ul_report_take_back(struct ul_reconcile_report *report, const struct ul_report_rows *to);
