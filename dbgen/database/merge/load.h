/* The rows that another database adds to the manifest's. */
#pragma once

#include "dbgen/database/rows/added.h"
#include "dbgen/database/rows/options.h"

/*
 * The rows of options->merge_from whose path the manifest lacks: loaded whole (they are the
 * upper's own, so few), references resolved. *ret is NULL where there are none.
 */
int ul_db_added_load(const struct ul_db_source *lower, const struct ul_db_options *options, struct ul_db_added **ret,
		     struct ul_error *err);
