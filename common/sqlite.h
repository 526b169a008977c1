/* Small things that every user of SQLite's API here needs. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/error.h"

/* A query for ul_sqlite_uri: no lock, no log, no byte written. */
#define UL_SQLITE_IMMUTABLE "immutable=1"

/* "file:PATH?QUERY", the path escaped, for SQLITE_OPEN_URI; the caller's to free. NULL: no memory. */
char *ul_sqlite_uri(const char *path, const char *query);

/*
 * sqlite3_open_v2 for a file of whose contents nothing is believed. No code of its schema runs, and no value may be
 * longer than the file (with its log) and 64 KiB, 16 MiB at most; nor does SQLite get more than that and 4 MiB in one
 * piece in this thread, because it allocates what a cell claims before it sees that the pages are not there. And all
 * that the connection is asked takes a number of steps that follows the size of the file: then it is damaged
 * (ul_sqlite_code), for pages that lead to the same one are rows without end.
 * SQLite's code; *ret is set whatever comes of it, as by sqlite3_open_v2, and is the caller's to close.
 */
int ul_sqlite_open(const char *path, int flags, sqlite3 **ret);

/* No bound on steps any more: the database is a sealed image's or the running system's, and is asked for long. */
void ul_sqlite_trust_length(sqlite3 *db);

/* ul_sqlite_open of a file that nobody changes, to be read (UL_SQLITE_IMMUTABLE). */
int ul_sqlite_open_immutable(const char *path, sqlite3 **ret);

/* ul_sqlite_open for a file that this program is about to write, where its sorter may take what it wants. */
int ul_sqlite_create(const char *path, sqlite3 **ret);

/*
 * A code of SQLite's API: "no memory" is "corrupt" where it was the file that claimed too much, since it was opened;
 * and so is "interrupted", which nothing but the bound on steps does.
 */
int ul_sqlite_code(int code);

/* sqlite3_errmsg, with a sentence of our own for that. db may be NULL, which SQLite takes for "out of memory". */
const char *ul_sqlite_message(sqlite3 *db);

/* SQLite's words for what went wrong with this connection, as an error of this file. */
int ul_sqlite_error(struct ul_error *err, sqlite3 *db, const char *work, const char *object);

/* Whether the database itself, not one that is attached to it, has this table. */
bool ul_sqlite_has_table(sqlite3 *db, const char *table);

static inline void ul_sqlite_finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

#define ul_autostatement UL_CLEANUP(ul_sqlite_finalize)
