/* The fate of a row of the upper's database, and the words for it: the same in both modes. */
#pragma once

#include "dbgen/reconcile/upper_dir.h"

enum ul_fate {
	UL_FATE_KEPT,
	UL_FATE_MALFORMED, /* Nix could not have written it, or it cannot be read */
	UL_FATE_GONE,      /* neither lower nor upper has the path */
	UL_FATE_BROKEN,    /* its files are not those that were registered */
	UL_FATE_VANISHED,  /* it refers to a path that the lower before had, and this one has not; or to such a row */
	UL_FATE_REFERENCE, /* it refers to a path that is not kept for another reason */
};

/* The name of a path in the report: its base name where it lies in the store directory, else all of it. */
const char *ul_fate_name(const char *store_dir, const char *path);

/* Tell the report of a path that the lower has, and of which it says otherwise than the upper's database did. */
int ul_fate_report_updated(struct ul_upper_dir *u, const char *name);

/* Tell the report of a path that is not kept. Those that go because of this lower are counted as lost. */
int ul_fate_report(struct ul_upper_dir *u, const char *name, enum ul_fate fate);
