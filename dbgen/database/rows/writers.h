/* The two writers behind ul_db_build. Both write the same rows; tests compare what they make. */
#pragma once

#include "dbgen/database/rows/options.h"
#include "dbgen/database/rows/source.h"

/*
 * dbgen/database/oracle.c: through SQLite's own API, into a new file `name` of the directory. Slow, and right by
 * construction: the bulk writer is compared with it.
 */
int ul_db_write_sqlite(const struct ul_db_source *s, int dirfd, const char *name, struct ul_error *err);

/* dbgen/database/pages/bulk.c: page by page into the empty file fd; name is for messages. */
int ul_db_write_bulk(const struct ul_db_source *s, int fd, const char *name, const struct ul_db_options *options,
		     struct ul_error *err);
