/* Whether the schema of the upper's database is one that a Nix works with, whichever version made it. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What correctness needs: the tables of paths, references and outputs, with their columns and keys; of every table,
 * index and trigger that is known, that it is what Nix makes of it, whichever version did; no code (triggers, views,
 * virtual tables) that Nix does not make. Further tables, columns and indexes are a newer Nix's own matter, and an
 * index that is not there is no damage. false: why_not (size bytes) has a sentence.
 */
bool ul_db_schema_fits(sqlite3 *db, char *why_not, size_t size);

/*
 * Make what is missing of that without which every Nix is slow, or fails to delete a path that refers to itself, in
 * place. *ret_made: a name of it; NULL: nothing was missing. SQLite's code.
 */
int ul_db_schema_mend(sqlite3 *db, const char **ret_made);
