/*
 * A row of ValidPaths in a database that somebody else may have written (the upper's: whoever has the disk can write
 * it). The one judge of what Nix could have written, whether rows are merged into a new database or stay where they
 * are.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "dbgen/store/store_path.h"

/* The columns in which ul_db_foreign_read wants the values of a row. */
#define UL_DB_FOREIGN_COLUMNS "hash, registrationTime, deriver, narSize, ultimate, sigs, ca"

/* Texts are valid until the statement moves on; NULL: the row has none, or one that Nix could not have written. */
struct ul_db_foreign {
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size; /* 0: not known */
	int64_t registered;
	bool ultimate;
	const char *deriver, *sigs, *ca;
	bool stripped; /* one of the texts was left out */
};

/*
 * The base name in a column that holds a store path of store_dir; NULL: it does not. Valid until the statement moves
 * on.
 */
const char *ul_db_foreign_base(sqlite3_stmt *row, int column, const char *store_dir,
			       uint8_t ret_digest[UL_DIGEST_SIZE]);

/* The column as a text for messages: up to its first NUL, "" where it is null. */
const char *ul_db_foreign_path(sqlite3_stmt *row, int column);

/* The values, from column `first` on. false: Nix could not have written this row. */
bool ul_db_foreign_read(sqlite3_stmt *row, int first, const char *store_dir, struct ul_db_foreign *ret);

/* A reference's id. false: the column does not hold an integer. */
bool ul_db_foreign_id(sqlite3_stmt *row, int column, int64_t *ret);
