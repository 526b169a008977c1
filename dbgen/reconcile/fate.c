/* See fate.h. */
#include "dbgen/reconcile/fate.h"

#include <stdio.h>

#include "dbgen/store/store_path.h"

const char *ul_fate_name(const char *store_dir, const char *path)
{
	const char *base = ul_store_base_of(store_dir, path);

	return base ? base : path;
}

int ul_fate_report(struct ul_upper_dir *u, const char *name, enum ul_fate fate)
{
	static const char *const why[] = {
		[UL_FATE_MALFORMED] = "Nix could not have written its row, or the row cannot be read",
		[UL_FATE_GONE] = "neither the lower nor the upper has it",
		[UL_FATE_BROKEN] = "its files are not those that were registered",
		[UL_FATE_VANISHED] = "it refers to a path that this lower does not have",
		[UL_FATE_REFERENCE] = "it refers to a path that is not valid any more",
	};
	struct ul_reconcile_report *report = u->report;

	if (fate == UL_FATE_VANISHED && report->lost++ == 0)
		snprintf(report->first_lost, sizeof(report->first_lost), "%s", name);
	return ul_upper_dir_report(u, UL_RECONCILE_INVALIDATED, name, "%s", why[fate]);
}

int ul_fate_report_updated(struct ul_upper_dir *u, const char *name)
{
	return ul_upper_dir_report(u, UL_RECONCILE_UPDATED, name, "the lower says otherwise of it");
}
