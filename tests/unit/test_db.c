/*
 * Building, merging and comparing: what surrounds the two writers. Everything is done with both of
 * them, since what they are given is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/db_help.h"

static const char *file_of(const char *name, const char *file)
{
	static char path[2][300];
	static unsigned int turn;
	char *p = path[turn++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", db_help_subdir(name), file);
	return p;
}

static bool is_there(const char *name, const char *file)
{
	struct stat st;

	return lstat(file_of(name, file), &st) == 0;
}

static void put(const char *name, const char *file, const char *text)
{
	assert_int_equal(ul_write_file(AT_FDCWD, file_of(name, file), 0644, text, strlen(text)), 0);
}

static void assert_file(const char *name, const char *file, const char *text)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer b = {0};

	assert_int_equal(ul_read_file(AT_FDCWD, file_of(name, file), 4096, &b), 0);
	assert_string_equal(ul_buffer_string(&b), text);
}

static void assert_equal(struct ul_manifest *m, const char *name)
{
	struct ul_error err = {0};
	char sentence[1200];

	if (ul_db_compare(m, file_of(name, "db.sqlite"), &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
}

static struct random_store *some_store(uint64_t seed, size_t n)
{
	struct random_store_options o = random_store_real;
	struct random_store *s;

	o.drv_share = 20;
	o.odd_share = 20;
	o.realisations = (unsigned int)(n / 20);
	s = random_store_new(seed, n, &o);
	assert_non_null(s);
	return s;
}

/* ---- the files ---- */

static void files(void **state)
{
	static const bool ways[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0}, plain_bytes = {0};
	struct random_store *s = some_store(1, 300);
	struct random_store *plain = random_store_new(1, 10, &random_store_real);
	struct ul_manifest *m = db_help_manifest(s, &bytes);
	struct ul_manifest *m_plain = db_help_manifest(plain, &plain_bytes);

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++) {
		const struct ul_db_options o = {.durable = ways[i][0], .use_sqlite = ways[i][1]};

		/* What another database left behind would be read as part of this one. */
		put("files", "db.sqlite", "old");
		put("files", "db.sqlite-wal", "stale");
		put("files", "db.sqlite-shm", "stale");
		put("files", "db.sqlite-journal", "stale");
		put("files", "db.sqlite.tmp", "of an interrupted run");
		put("files", "ca-schema", "3");
		db_help_build(m, "files", &o);
		assert_false(is_there("files", "db.sqlite-wal"));
		assert_false(is_there("files", "db.sqlite-shm"));
		assert_false(is_there("files", "db.sqlite-journal"));
		assert_file("files", "schema", "10");
		assert_false(is_there("files", "ca-schema"));
		db_help_assert_sound("files");
		assert_equal(m, "files");
		db_help_build(m_plain, "files", &o);
		assert_equal(m_plain, "files");
	}
	ul_manifest_close(m);
	ul_manifest_close(m_plain);
	random_store_free(s);
	random_store_free(plain);
}

/* Journal mode of a rollback header: opens on a read-only mount without a word of `immutable`. */
static void header(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0}, file = {0};
	struct random_store *s = some_store(2, 20);
	struct ul_manifest *m = db_help_manifest(s, &bytes);
	sqlite3 *db;

	(void)state;
	db_help_build(m, "header", NULL);
	assert_int_equal(ul_read_file(AT_FDCWD, file_of("header", "db.sqlite"), 1 << 24, &file), 0);
	assert_memory_equal(file.data, "SQLite format 3\0\x10\x00\x01\x01\x00\x40\x20\x20", 24);
	db = db_help_open("header");
	assert_string_equal(db_help_text(db, "pragma journal_mode"), "delete");
	assert_int_equal((uint64_t)atoll(db_help_text(db, "pragma page_count")) * 4096, file.len);
	assert_string_equal(db_help_text(db, "pragma freelist_count"), "0");
	assert_string_equal(db_help_text(db, "pragma journal_mode = wal"), "wal");
	sqlite3_close(db);
	ul_manifest_close(m);
	random_store_free(s);
}

/* ---- failures ---- */

static void expect_failure(struct ul_manifest *m, const char *name, const struct ul_db_options *o, enum ul_code code)
{
	struct ul_error err = {0};

	assert_int_equal(ul_db_build(m, AT_FDCWD, db_help_subdir(name), o, &err), -(int)code);
	assert_int_equal(err.code, code);
	assert_true(err.what[0] && err.why[0]);
	assert_false(is_there(name, "db.sqlite"));
	assert_false(is_there(name, "db.sqlite.tmp"));
}

/* Each byte range of a manifest in turn is spoilt: an error, no file, never a wrong database. */
static void spoilt_manifest(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = some_store(3, 5000);
	size_t refused = 0;

	(void)state;
	ul_manifest_close(db_help_manifest(s, &bytes));
	for (size_t at = 200; at < bytes.len; at += bytes.len / 40) {
		const struct ul_db_options ways[] = {{.threads = 2}, {.low_memory = true}};
		struct ul_manifest *m = NULL;
		struct ul_error err;

		bytes.data[at] ^= 0x10;
		if (ul_manifest_open_memory(bytes.data, bytes.len, &m, &err) == 0) {
			for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++)
				expect_failure(m, "spoilt", &ways[i], UL_E_MANIFEST);
			refused++;
		}
		ul_manifest_close(m);
		bytes.data[at] ^= 0x10;
	}
	assert_true(refused > 20);
	random_store_free(s);
}

/* The file may not grow: as on a full disk, but an error that a test can make anywhere. */
static void no_space(void **state)
{
	const struct ul_db_options ways[] = {
		{.threads = 2}, {.durable = true}, {.low_memory = true}, {.use_sqlite = true}};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = some_store(4, 9000);
	struct ul_manifest *m = db_help_manifest(s, &bytes);
	struct rlimit old, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++) {
		small = (struct rlimit){1 << 20, old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		expect_failure(m, "full", &ways[i], ways[i].use_sqlite ? UL_E_DATABASE : UL_E_SYSTEM);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	}
	ul_manifest_close(m);
	random_store_free(s);
}

static void no_directory(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct ul_manifest *m = db_help_manifest_of(NULL, 0, &bytes);
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_db_build(m, AT_FDCWD, "/dev/null/nowhere", NULL, &err), -UL_E_SYSTEM);
	assert_int_equal(err.errnum, ENOTDIR);
	ul_manifest_close(m);
}

/* A durable write that fails leaves the database that was there. */
static void durable_keeps_the_old(void **state)
{
	const struct ul_db_options durable = {.durable = true}, none = {.threads = 1};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer old_bytes = {0}, bytes = {0};
	struct random_store *old = some_store(5, 50), *s = some_store(6, 5000);
	struct ul_manifest *m_old = db_help_manifest(old, &old_bytes), *m;
	struct ul_error err;

	(void)state;
	db_help_build(m_old, "kept", &none);
	ul_manifest_close(db_help_manifest(s, &bytes));
	bytes.data[bytes.len / 2] ^= 1;
	assert_int_equal(ul_manifest_open_memory(bytes.data, bytes.len, &m, &err), 0);
	assert_int_equal(ul_db_build(m, AT_FDCWD, db_help_subdir("kept"), &durable, &err), -UL_E_MANIFEST);
	assert_equal(m_old, "kept");
	assert_false(is_there("kept", "db.sqlite.tmp"));
	ul_manifest_close(m);
	ul_manifest_close(m_old);
	random_store_free(old);
	random_store_free(s);
}

/* ---- comparing ---- */

static void differences(void **state)
{
	static const struct {
		const char *sql, *why;
	} rows[] = {
		{"update ValidPaths set hash = hash || '0' where id = 7", "hash of /nix/store/"},
		{"update ValidPaths set registrationTime = registrationTime + 1 where id = 300",
		 "registrationTime of /nix/store/"},
		{"update ValidPaths set deriver = '/nix/store/x' where id = 1", "deriver of"},
		{"update ValidPaths set narSize = 3 where id = 2", "narSize of"},
		{"update ValidPaths set ultimate = not ifnull(ultimate, 0) where id = 5", "ultimate of"},
		{"update ValidPaths set sigs = 'a:b' where id = 6", "sigs of"},
		{"update ValidPaths set ca = 'c' where id = 8", "ca of"},
		{"delete from ValidPaths where id = 9", "is in the manifest and not in the database"},
		{"insert into ValidPaths (path, hash, registrationTime) values"
		 " ('/nix/store/0-before-all', 'h', 1)",
		 "is in the database and not in the manifest"},
		{"insert into ValidPaths (path, hash, registrationTime) values"
		 " ('/nix/store/zzzzzzzz-after-all', 'h', 1)",
		 "is in the database and not in the manifest"},
		{"delete from Refs where rowid = 20", "references of path number"},
		{"insert or replace into Refs values (1, 300)", "references of path number"},
		{"insert into Refs values (987654, 1)", "Refs has"},
		{"delete from DerivationOutputs where rowid = 3", "output"},
		{"update DerivationOutputs set path = path || 'x' where rowid = 1", "output"},
		{"insert into DerivationOutputs values (1, 'odd', '/nix/store/x')", "DerivationOutputs has"},
		{"delete from Realisations where id = 2", "realisation"},
		{"update Realisations set signatures = 'k:v' where id = 1", "realisation"},
		{"update Realisations set outputPath = outputPath % 300 + 1 where id = 3", "realisation"},
		{"insert into RealisationsRefs select id, id from Realisations where id = 4", "realisation"},
		{"insert into Realisations values (null, 'sha256:x', 'out', 1, null)", "Realisations has"},
		/* Nix stops at a NULL there, and takes "" elsewhere for a text. */
		{"update Realisations set signatures = null where signatures = ''", "realisation"},
		{"update ValidPaths set sigs = '' where sigs is null", "sigs of"},
		{"update ValidPaths set deriver = '' where deriver is null", "deriver of"},
		{"update ValidPaths set narSize = narSize || 'x' where id = 9", "narSize of"},
		{"delete from BuildTraceV3 where id = 2", "build trace"},
		{"update BuildTraceV3 set signatures = null where id = 1", "build trace"},
		{"update BuildTraceV3 set outputPath = (select path from ValidPaths where id = 1) || 'x' where id = 3",
		 "build trace"},
		{"insert into BuildTraceV3 values (null, 'x.drv', 'out', '/nix/store/x', '')", "BuildTraceV3 has"},
	};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = some_store(8, 300);
	struct ul_manifest *m = db_help_manifest(s, &bytes);

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		struct ul_error err = {0};
		sqlite3 *db;

		db_help_build(m, "differs", NULL);
		assert_equal(m, "differs");
		db = db_help_open("differs");
		db_help_exec(db, rows[i].sql);
		sqlite3_close(db);
		assert_int_equal(ul_db_compare(m, file_of("differs", "db.sqlite"), &err), -UL_E_CHECK);
		if (!strstr(err.why, rows[i].why))
			fail_msg("%s: %s", rows[i].sql, err.why);
	}
	ul_manifest_close(m);
	random_store_free(s);
}

/* Ids are the database's own: other ones are no difference. A log beside it is read. */
static void other_ids(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = some_store(9, 200);
	struct ul_manifest *m = db_help_manifest(s, &bytes);
	struct ul_error err;
	sqlite3 *db;

	(void)state;
	db_help_build(m, "ids", NULL);
	db = db_help_open("ids");
	db_help_exec(db, "pragma journal_mode = wal;"
			 "update ValidPaths set id = -id;"
			 "update Refs set referrer = -referrer, reference = -reference;"
			 "update DerivationOutputs set drv = -drv;"
			 "update Realisations set outputPath = -outputPath");
	assert_true(is_there("ids", "db.sqlite-wal"));
	assert_equal(m, "ids");
	sqlite3_close(db);
	assert_equal(m, "ids");
	put("ids", "db.sqlite", "no database at all, but long enough to be looked at");
	assert_int_equal(ul_db_compare(m, file_of("ids", "db.sqlite"), &err), -UL_E_DATABASE);
	ul_manifest_close(m);
	random_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),       cmocka_unit_test(header),       cmocka_unit_test(spoilt_manifest),
		cmocka_unit_test(no_space),    cmocka_unit_test(no_directory), cmocka_unit_test(durable_keeps_the_old),
		cmocka_unit_test(differences), cmocka_unit_test(other_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
