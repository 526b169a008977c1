/* Where a booted machine's store, layers and databases lie: what `underlay gc` needs, from state.json. */
#pragma once

#include "common/error.h"
#include "common/names.h"
#include "dbgen/collect/collect.h"

struct cli_gc_layout {
	struct ul_names paths; /* what the layout's texts are */
	struct ul_names sealed, databases;
	struct ul_collect_layout at;
};

/*
 * file: the state.json; root: "" or the directory that is / of that machine. Free *ret also after a failure.
 * -UL_E_SYSTEM, -UL_E_INPUT, -UL_E_VERSION, -UL_E_MEMORY.
 */
int cli_gc_layout_read(const char *file, const char *root, struct cli_gc_layout *ret, struct ul_error *err);
void cli_gc_layout_free(struct cli_gc_layout *l);
