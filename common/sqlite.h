/* Small things that every user of SQLite's API here needs. */
#pragma once

#include <sqlite3.h>

#include "common/cleanup.h"
#include "common/error.h"

/* "file:PATH?immutable=1", the path escaped: no lock, no log, no byte written. NULL: no memory. */
char *ul_sqlite_immutable_uri(const char *path);

/* What to set on a connection to a file of whose contents nothing is believed. */
void ul_sqlite_harden(sqlite3 *db);

/* SQLite's words for what went wrong with this connection, as an error of this file. */
int ul_sqlite_error(struct ul_error *err, sqlite3 *db, const char *work, const char *object);

static inline void ul_sqlite_finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

#define ul_autostatement UL_CLEANUP(ul_sqlite_finalize)
