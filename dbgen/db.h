/*
 * Nix's database made from a manifest: db.sqlite (schema version 10) and the file `schema` beside it.
 * The one interface that boot, image build and command line use; behind it are two writers, the bulk
 * writer of SQLite pages (db_bulk.c) and SQLite's own API (db_oracle.c), which tests compare.
 */
#pragma once

#include <stdbool.h>

#include "common/progress.h"
#include "dbgen/manifest.h"

struct ul_db_options {
	unsigned int
		threads; /* 0: as many as there are processors; the bytes do not depend on it */
	bool durable; /* fsync and rename into place: for a disk; else (tmpfs) written in place */
	bool low_memory; /* stay under 64 MB at a million paths, slower */
	bool use_sqlite; /* through SQLite's API instead of the bulk writer */
	/*
	 * Another database whose rows are merged in where the manifest does not have the path (the
	 * upper's own); NULL: none. Path in the file system; may be the very file that is replaced.
	 * References between the two worlds are kept. A row is dropped, and every row that refers to
	 * it, where it is no valid store path, where it refers to a path that neither has, or where
	 * `exists` denies it.
	 */
	const char *merge_from;
	/* Whether the files of a path of merge_from are there; NULL: all are. Called in path order. */
	bool (*exists)(void *user, const char *path);
	/* Called for each dropped row, in path order. NULL: nobody asks. */
	void (*dropped)(void *user, const char *path);
	void *user;
	struct ul_progress *progress;
};

/*
 * Write dir/db.sqlite and dir/schema (and dir/ca-schema, where the manifest holds realisations); the
 * directory exists; stale -wal and -shm files are removed. The same manifest gives the same bytes.
 * options may be NULL: all defaults. On failure no db.sqlite is left behind, or, if durable, the one
 * that was there before. Errors: -UL_E_MANIFEST, -UL_E_DATABASE, -UL_E_MEMORY, -UL_E_SYSTEM.
 */
int ul_db_build(struct ul_manifest *m, int dirfd, const char *dir,
		const struct ul_db_options *options, struct ul_error *err);

/*
 * Whether the database (read-only, immutable) holds exactly what the manifest says, row for row. 0, or
 * -UL_E_CHECK naming the first difference.
 */
int ul_db_compare(struct ul_manifest *m, const char *db_path, struct ul_error *err);
