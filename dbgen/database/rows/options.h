/* How a database is to be made: for the front (dbgen/database/db.h) and the writers behind it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/progress.h"

/* Why a row of another database does not come along. */
enum ul_db_drop {
	UL_DB_MALFORMED, /* Nix could not have written it, or it cannot be read */
	UL_DB_MISSING,   /* `exists` denied it */
	UL_DB_VANISHED,  /* it refers to what `was_lowers` says of, or to a row that goes for that */
	UL_DB_REFERENCE, /* it refers to a path that neither has, or to a row that was dropped for another reason */
};

struct ul_db_options {
	unsigned int threads; /* 0: as many as there are processors; the bytes do not depend on it */
	bool durable;         /* fsync and rename into place: for a disk; else (tmpfs) written in place */
	bool low_memory;      /* stay under 64 MB at a million paths, slower */
	bool use_sqlite;      /* through SQLite's API instead of the bulk writer */
	/*
	 * Another database whose rows are merged in where the manifest does not have the path (the
	 * upper's own); NULL: none. Path in the file system; may be the very file that is replaced.
	 * References between the two worlds are kept. Rows that cannot come along are dropped: see
	 * enum ul_db_drop.
	 */
	const char *merge_from;
	bool look_only; /* not a byte of it or of its log is written */
	/* Whether the files of a path of merge_from are there; NULL: all are. Called in path order. */
	bool (*exists)(void *user, const char *path);
	/*
	 * Whether this id was one of the lower's that the other database was made for, which lacks it now. path: of a
	 * row that `exists` denied; NULL: no sound row has the id. NULL: none was.
	 */
	bool (*was_lowers)(void *user, int64_t id, const char *path);
	/*
	 * Called for each dropped row: those whose path is malformed first, the others in path order.
	 * path: what the row calls itself, up to a NUL. NULL: nobody asks.
	 */
	void (*dropped)(void *user, const char *path, enum ul_db_drop why);
	/*
	 * Called, in path order, for each path of the manifest that a row which comes along leads to, and of which
	 * merge_from says otherwise than the manifest. NULL: nobody asks.
	 */
	void (*updated)(void *user, const char *path);
	/*
	 * A database of which everything else comes along that this program does not know: see
	 * dbgen/database/merge/carry.h. It has no log. NULL: merge_from.
	 */
	const char *carry_from;
	bool carry_all; /* for all paths; else for those that merge_from adds: the others are the lower's */
	/* Called for what of it does not come along: "table X", "column X of Y". NULL: nobody asks. */
	void (*left_out)(void *user, const char *name, const char *why);
	void *user;
	struct ul_progress *progress;
};
