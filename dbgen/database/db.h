/*
 * Nix's database made from a manifest: db.sqlite (schema version 10) and the file `schema` beside it.
 * The one interface that boot, image build and command line use; behind it are two writers, the bulk
 * writer of SQLite pages (dbgen/database/pages/bulk.c) and SQLite's own API (oracle.c), which tests compare.
 */
#pragma once

#include <stdbool.h>

#include "dbgen/database/rows/options.h"
#include "dbgen/manifest/manifest.h"

/*
 * Write dir/db.sqlite and dir/schema; the directory exists; stale -wal and -shm files are removed, and ca-schema.
 * One manifest always gives the same bytes. options may be NULL: all defaults.
 * On failure no db.sqlite is left behind, or, if durable, the one that was there before.
 * Errors: -UL_E_MANIFEST, -UL_E_DATABASE, -UL_E_MEMORY, -UL_E_SYSTEM.
 */
int ul_db_build(struct ul_manifest *m, int dirfd, const char *dir, const struct ul_db_options *options,
		struct ul_error *err);

/* Read options->merge_from as ul_db_build does, asking and telling the callbacks, and write nothing. */
int ul_db_try_merge(struct ul_manifest *m, const struct ul_db_options *options, struct ul_error *err);

/*
 * Whether the database (read-only, immutable) holds exactly what the manifest says, row for row. 0, or
 * -UL_E_CHECK naming the first difference.
 */
int ul_db_compare(struct ul_manifest *m, const char *db_path, struct ul_error *err);
