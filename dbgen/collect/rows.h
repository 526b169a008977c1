/* Nix's database as the collector writes it, while Nix itself may have it open. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct ul_collect_db {
	sqlite3 *db;
	const char *path;
	sqlite3_stmt *statements[8];
};

/* Open state_dir's database. Close it also after a failure. -UL_E_DATABASE, -UL_E_MEMORY, -UL_E_SYSTEM (no space). */
int ul_collect_db_open(const char *path, bool read_only, struct ul_collect_db *ret, struct ul_error *err);
void ul_collect_db_close(struct ul_collect_db *d);

/* A transaction that is on the disk when it has ended, whatever Nix's own setting says. */
int ul_collect_db_begin(struct ul_collect_db *d, struct ul_error *err);
int ul_collect_db_commit(struct ul_collect_db *d, struct ul_error *err);

/*
 * In a transaction: delete the row with this id and path, with all that belongs to it. 1: it is gone; 0: something
 * refers to it by now, or the row is another one, and nothing of it was deleted.
 */
int ul_collect_db_delete(struct ul_collect_db *d, int64_t id, const char *path, struct ul_error *err);

/* Whether the path has a row. 1, 0 or negative. */
int ul_collect_db_has(struct ul_collect_db *d, const char *path, struct ul_error *err);
