/* Helpers of the database's tests; see db_help.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/db_help.h"

static char directory[64];

static void remove_directory(void)
{
	ul_remove_tree(AT_FDCWD, directory);
}

const char *db_help_dir(void)
{
	if (!directory[0]) {
		/* Thousands of small databases: in memory where that is possible. */
		bool shm = access("/dev/shm", W_OK) == 0;

		snprintf(directory, sizeof(directory), "%s/underlay-test-XXXXXX", shm ? "/dev/shm" : "/tmp");
		assert_non_null(mkdtemp(directory));
		atexit(remove_directory);
	}
	return directory;
}

const char *db_help_subdir(const char *name)
{
	static char paths[2][256];
	static unsigned int turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", db_help_dir(), name);
	mkdir(path, 0755);
	return path;
}

static void assert_done(int r, const struct ul_error *err)
{
	char sentence[1200];

	if (r < 0)
		fail_msg("%s", ul_error_sentence(err, sentence, sizeof(sentence)));
}

static struct ul_manifest *finish(struct ul_builder *b, struct ul_buffer *bytes)
{
	struct ul_manifest *m = NULL;
	struct ul_error err = {0};

	ul_buffer_free(bytes);
	assert_done(ul_builder_finish(b, bytes, &err), &err);
	ul_builder_free(b);
	assert_done(ul_manifest_open_memory(bytes->data, bytes->len, &m, &err), &err);
	return m;
}

struct ul_manifest *db_help_manifest(const struct random_store *s, struct ul_buffer *bytes)
{
	struct ul_builder *b = ul_builder_new(s->store_dir);
	struct ul_error err = {0};

	assert_non_null(b);
	assert_done(random_store_fill(s, b, &err), &err);
	return finish(b, bytes);
}

struct ul_manifest *db_help_manifest_of(const struct ul_path_info *paths, size_t n, struct ul_buffer *bytes)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_error err = {0};

	assert_non_null(b);
	for (size_t i = 0; i < n; i++)
		assert_done(ul_builder_add(b, &paths[i], &err), &err);
	return finish(b, bytes);
}

void db_help_build(struct ul_manifest *m, const char *name, const struct ul_db_options *options)
{
	struct ul_error err = {0};

	assert_done(ul_db_build(m, AT_FDCWD, db_help_subdir(name), options, &err), &err);
}

sqlite3 *db_help_open(const char *name)
{
	sqlite3 *db = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(name));
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	return db;
}

void db_help_exec(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	return statement;
}

const char *db_help_text(sqlite3 *db, const char *sql)
{
	static char text[4096];
	sqlite3_stmt *statement = prepare(db, sql);

	text[0] = '\0';
	if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
		snprintf(text, sizeof(text), "%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return text;
}

void db_help_assert_sound(const char *name)
{
	sqlite3 *db = db_help_open(name);

	assert_string_equal(db_help_text(db, "pragma integrity_check"), "ok");
	assert_string_equal(db_help_text(db, "pragma quick_check"), "ok");
	assert_string_equal(db_help_text(db, "pragma foreign_key_check"), "");
	sqlite3_close(db);
}

static void assert_same_column(sqlite3_stmt *a, sqlite3_stmt *b, int i, const char *sql)
{
	int len = sqlite3_column_bytes(a, i);

	if (sqlite3_column_type(a, i) != sqlite3_column_type(b, i))
		fail_msg("%s: column %d has another type", sql, i);
	if (len != sqlite3_column_bytes(b, i) ||
	    (len > 0 && memcmp(sqlite3_column_blob(a, i), sqlite3_column_blob(b, i), (size_t)len)))
		fail_msg("%s: column %d: %s, %s", sql, i, (const char *)sqlite3_column_text(a, i),
			 (const char *)sqlite3_column_text(b, i));
}

static void assert_same_rows(sqlite3 *a, sqlite3 *b, const char *sql)
{
	sqlite3_stmt *rows_a = prepare(a, sql), *rows_b = prepare(b, sql);
	int step;

	do {
		step = sqlite3_step(rows_a);
		if (step != sqlite3_step(rows_b))
			fail_msg("%s: one has more rows", sql);
		for (int i = 0; step == SQLITE_ROW && i < sqlite3_column_count(rows_a); i++)
			assert_same_column(rows_a, rows_b, i, sql);
	} while (step == SQLITE_ROW);
	assert_int_equal(step, SQLITE_DONE);
	sqlite3_finalize(rows_a);
	sqlite3_finalize(rows_b);
}

/* Tables, and what Nix (src/libstore/local-store.cc) asks of them. */
static const char *const tables[] = {
	"select type, name, tbl_name, sql from sqlite_schema order by name",
	"select rowid, * from ValidPaths",
	"select rowid, * from Refs",
	"select rowid, * from DerivationOutputs",
	"select rowid, * from SchemaMigrations",
	"select rowid, * from sqlite_sequence",
	/* Through the indexes. */
	"select path from ValidPaths order by path",
	"select referrer, reference from Refs order by referrer, reference",
	"select reference, rowid from Refs indexed by IndexReference order by reference, rowid",
	"select path, rowid from DerivationOutputs order by path",
	"select rowid, * from Realisations",
	"select rowid, * from RealisationsRefs",
	"select drvPath, outputName, rowid from Realisations order by drvPath, outputName",
	"select rowid, * from BuildTraceV3",
	"select drvPath, outputName, rowid from BuildTraceV3 order by drvPath, outputName",
};
static const char *const plans[] = {
	"explain query plan select id, hash, registrationTime, deriver, narSize, ultimate, sigs, ca"
	" from ValidPaths where path = ?",
	"explain query plan select path from Refs join ValidPaths on reference = id"
	" where referrer = ?",
	"explain query plan select path from Refs join ValidPaths on referrer = id where reference ="
	" (select id from ValidPaths where path = ?)",
	"explain query plan delete from ValidPaths where path = ?",
	"explain query plan select v.id, v.path from DerivationOutputs d join ValidPaths v on"
	" d.drv = v.id where d.path = ?",
	"explain query plan select id, path from DerivationOutputs where drv = ?",
	"explain query plan select path from ValidPaths where path >= ? limit 1",
	"explain query plan select path from ValidPaths",
};

void db_help_assert_same(const char *name_a, const char *name_b)
{
	sqlite3 *a = db_help_open(name_a), *b = db_help_open(name_b);

	for (size_t i = 0; i < UL_ARRAY_SIZE(tables); i++)
		assert_same_rows(a, b, tables[i]);
	for (size_t i = 0; i < UL_ARRAY_SIZE(plans); i++)
		assert_same_rows(a, b, plans[i]);
	sqlite3_close(a);
	sqlite3_close(b);
}

void db_help_assert_identical(const char *name_a, const char *name_b)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer a = {0}, b = {0};
	char path[300];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(name_a));
	assert_int_equal(ul_read_file(AT_FDCWD, path, 1 << 30, &a), 0);
	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(name_b));
	assert_int_equal(ul_read_file(AT_FDCWD, path, 1 << 30, &b), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
}
