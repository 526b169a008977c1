/* What the tests of the database share: manifests made at once, files in a directory of their own, comparisons. */
#pragma once

#include <sqlite3.h>

#include "common/buffer.h"
#include "dbgen/database/db.h"
#include "tests/unit/random_store.h"

/* A temporary directory, entered by name; made at the first call, removed at exit. */
const char *db_help_dir(void);

/* DIR/NAME, made. Valid until the next but one call. */
const char *db_help_subdir(const char *name);

/* The manifest of a store; the buffer holds its bytes and outlives it. Asserts. */
struct ul_manifest *db_help_manifest(const struct random_store *s, struct ul_buffer *bytes);
struct ul_manifest *db_help_manifest_of(const struct ul_path_info *paths, size_t n, struct ul_buffer *bytes);

/* Write the database to DIR/NAME/db.sqlite. Asserts. */
void db_help_build(struct ul_manifest *m, const char *name, const struct ul_db_options *options);

sqlite3 *db_help_open(const char *name);
void db_help_exec(sqlite3 *db, const char *sql);

/* The first column of the first row as text; "" if there is none. Valid until the next call. */
const char *db_help_text(sqlite3 *db, const char *sql);

/* integrity_check, quick_check and foreign_key_check find nothing. */
void db_help_assert_sound(const char *name);

/* Every row of every table (rowid, types and values), the schema, and Nix's query plans are the same. */
void db_help_assert_same(const char *name_a, const char *name_b);

/* The files have the same bytes. */
void db_help_assert_identical(const char *name_a, const char *name_b);
