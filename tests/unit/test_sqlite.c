/* What SQLite may do with a file that nobody vouches for: the longest value, the cost of a claim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/sqlite.h"
#include "dbgen/exchange/import.h"

#define SLACK  65536
#define CLAIMS "tests/fuzz/seeds/import_database/claims-gigabytes"

static char dir[] = "/tmp/test-sqlite-XXXXXX", path[64], wal[80];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	unlink(wal);
	return rmdir(dir);
}

static void make_file(const char *name, off_t size)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), size), 0);
	assert_int_equal(fclose(f), 0);
}

static int limit_of(const char *name, int flags)
{
	sqlite3 *db;
	int limit;

	assert_int_equal(ul_sqlite_open(name, flags, &db), SQLITE_OK);
	limit = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, -1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return limit;
}

/* The file and its log, 16 MiB at most, whatever way it is opened. */
static void test_longest_value(void **state)
{
	static const struct {
		off_t file, wal;
		int limit;
	} cases[] = {
		{0, 0, SLACK},
		{4096, 0, 4096 + SLACK},
		{40960, 8192, 49152 + SLACK},
		{(16 << 20) - SLACK, 0, 16 << 20},
		{(16 << 20) - SLACK, 1, 16 << 20},
		{(off_t)3 << 30, 0, 16 << 20},
		{4096, (off_t)3 << 30, 16 << 20},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char uri[100];

		make_file(path, cases[i].file);
		make_file(wal, cases[i].wal);
		snprintf(uri, sizeof(uri), "file:%s?immutable=1", path);
		assert_int_equal(limit_of(path, SQLITE_OPEN_READONLY), cases[i].limit);
		assert_int_equal(limit_of(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW), cases[i].limit);
		assert_int_equal(limit_of(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI), cases[i].limit);
	}
	unlink(wal);
	unlink(path);
}

/* A cell that claims gigabytes where 17 KB are there: a reason, and no memory. What comes after has its memory. */
static void test_claims(void **state)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_error err;
	sqlite3 *db;
	void *much;

	(void)state;
	assert_non_null(b);
	sqlite3_memory_highwater(1);
	assert_int_equal(ul_import_database(b, CLAIMS, &err), -UL_E_DATABASE);
	assert_string_equal(err.why, "it claims a value that is longer than the file");
	assert_in_range(sqlite3_memory_highwater(0), 1, 6 << 20);
	ul_builder_free(b);
	assert_int_equal(ul_sqlite_create(path, &db), SQLITE_OK);
	much = sqlite3_malloc(64 << 20);
	assert_non_null(much);
	sqlite3_free(much);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	unlink(path);
}

/* Only a claim of this file turns "no memory" into "corrupt". */
static void test_code(void **state)
{
	sqlite3 *db;

	(void)state;
	make_file(path, 0);
	assert_int_equal(ul_sqlite_open(path, SQLITE_OPEN_READONLY, &db), SQLITE_OK);
	assert_int_equal(ul_sqlite_code(SQLITE_NOMEM), SQLITE_NOMEM);
	assert_null(sqlite3_malloc(8 << 20));
	assert_int_equal(ul_sqlite_code(SQLITE_NOMEM), SQLITE_CORRUPT);
	assert_int_equal(ul_sqlite_code(SQLITE_FULL), SQLITE_FULL);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(ul_sqlite_open(path, SQLITE_OPEN_READONLY, &db), SQLITE_OK);
	assert_int_equal(ul_sqlite_code(SQLITE_NOMEM), SQLITE_NOMEM);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	unlink(path);
}

/* Neither a trigger nor a view of the file's schema, nor what a function of it would write, is run. */
static void test_no_code(void **state)
{
	static const char *const refused[] = {
		"select * from v", "pragma writable_schema = on; update sqlite_schema set sql = 'x'",
		"insert into u values (1)" /* its check wants a function that has effects */};
	sqlite3_stmt *q;
	sqlite3 *db;

	(void)state;
	assert_int_equal(ul_sqlite_create(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "create table t (a); create table log (a); create view v as select a from t;"
				      "create table u (a check (load_extension('x') is null));"
				      "create trigger r after insert on t begin insert into log values (new.a); end",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(ul_sqlite_open(path, SQLITE_OPEN_READWRITE, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "insert into t values (1)", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "select count(*) from log", -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(q, 0), 0);
	sqlite3_finalize(q);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		assert_int_equal(sqlite3_exec(db, refused[i], NULL, NULL, NULL), SQLITE_ERROR);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_value),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_no_code),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
