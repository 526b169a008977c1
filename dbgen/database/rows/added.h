/* The added rows as columns: dbgen/database/merge/merge.c loads them, source.c hands them out. */
#pragma once

#include "dbgen/database/rows/source.h"

#define UL_DB_ADDED_BATCH 4096 /* paths */

struct ul_db_added {
	struct ul_batch all;           /* every added path, in path order; arrays owned */
	uint32_t *before;              /* of each, how many of the manifest's paths come before it */
	struct ul_drv_output *outputs; /* texts owned */
	uint32_t n_outputs;
	struct ul_realisation *realisations; /* texts and references owned */
	uint32_t n_realisations;
};

void ul_db_added_free(struct ul_db_added *a);
