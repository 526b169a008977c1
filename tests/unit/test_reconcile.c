/*
 * Reconcile against what may lie on a disk: entries of sealed names, odd things in the place of files and directories,
 * databases that lie or are damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define number(f, action)         ((f)->report.n[UL_RECONCILE_##action])

/* ---- names of the lower ---- */

/* What the kept layer has under a sealed name is never seen beneath the sealed layers: nobody looks at it. */
static void sealed_names(void **state)
{
	static const char *const makers[] = {
		"mkdir -p $p/deep && echo evil >$p/deep/file",
		"echo evil >$p",
		"ln -s /etc/passwd $p",
		"ln -s . $p",
		"mkfifo $p",
		"mknod $p c 0 0",
		"mkdir $p && chmod 0 $p",
		"echo evil >$p && chmod 4755 $p",
	};
	struct upper_fixture *f = *state;

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		for (unsigned int i = 0; i < UL_ARRAY_SIZE(makers); i++) {
			char command[600];

			snprintf(command, sizeof(command), "p=%s; %s", upper_base(i), makers[i]);
			upper_run(U "/kept", command);
		}
		upper_run(U, "find kept -regex '.*-p[0-9].*' | grep -v -e '-p2[0-9]' >../before");
		/* What another lower seals goes: its rows will speak of other contents. It is not lost. */
		upper_agree(f, f->other, (enum ul_reconcile_mode)mode);
		assert_int_equal(number(f, QUARANTINED), 5);
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_int_equal(number(f, QUARANTINED), 2);
		assert_int_equal(number(f, SWEPT), 1);
		upper_run(U, "touch var/nix/db/db.sqlite");
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_int_equal(number(f, QUARANTINED), 0);
		upper_run(U, "test -s ../before -a $(find quarantine -mindepth 2 -maxdepth 2 | wc -l) = 7; "
			     "find kept -regex '.*-p[0-9].*' | grep -v -e '-p2[0-9]' >../after; test ! -s ../after");
	}
}

/* In rebuild mode what somebody took a row from is valid again. */
static void valid_again(void **state)
{
	struct upper_fixture *f = *state;
	char sql[200];

	upper_fill(f, UL_RECONCILE_REBUILD);
	snprintf(sql, sizeof(sql), "delete from ValidPaths where path = '%s'", upper_full(7));
	upper_exec(sql);
	snprintf(sql, sizeof(sql), "mknod %s c 0 0", upper_base(7));
	upper_run(U "/kept", sql);
	upper_agree(f, f->lower, UL_RECONCILE_REBUILD);
	snprintf(sql, sizeof(sql), "path = '%s'", upper_full(7));
	assert_string_equal(upper_count(sql), "1");
	assert_string_equal(upper_count("1"), "14");
}

/* ---- what lies on the upper ---- */

/* In the place of a directory or of a file: ../victim is a directory outside, which must not be reached. */
static void odd_places(void **state)
{
	static const char *const makers[] = {
		"rm -r kept && ln -s ../victim kept",
		"rm -r kept && echo >kept",
		"rm -r sessions && ln -s ../victim sessions",
		"rm -r sessions && mkfifo sessions",
		"ln -s \"$PWD\"/../victim sessions/00000001-0123456789abcdef",
		"mkdir sessions/00000001-0123456789abcdef && ln -s \"$PWD\"/../victim sessions/00000001-0123456789abcdef/up",
		"mkdir sessions/00000001-0123456789abcdef && mkfifo sessions/00000001-0123456789abcdef/up",
		"mkdir sessions/00000001-0123456789abcdef sessions/odd; echo >sessions/00000002-0123456789abcdef",
		"rm -r trash && ln -s ../victim trash",
		"rm -r trash && mkfifo trash",
		"rm -r trash && echo >trash",
		"ln -s \"$PWD\"/../victim trash/1; mkfifo trash/p; mkdir -p trash/a/b; ln -s \"$PWD\"/../victim trash/a/b/c",
		"rm -r var && ln -s ../victim var",
		"rm -r var/nix && mkfifo var/nix",
		"rm -r var/nix/db && ln -s \"$PWD\"/../victim var/nix/db",
		"ln -s /etc/passwd var/nix/db/db.sqlite",
		"mkfifo var/nix/db/db.sqlite",
		"echo garbage >var/nix/db/db.sqlite",
		": >var/nix/db/db.sqlite",
		"cp \"$OLDPWD\"/tests/fuzz/seeds/import_database/claims-gigabytes var/nix/db/db.sqlite",
		"mkdir var/nix/db/db.sqlite-wal",
		"mkfifo var/nix/db/db.sqlite-shm; ln -s x var/nix/db/db.sqlite-journal",
		"head -c 5000 /dev/urandom >var/nix/db/db.sqlite-wal",
		"ln -s /etc/passwd lower.json",
		"mkfifo lower.json clean",
		"mkdir lower.json clean report.json.tmp",
		"head -c 70000 /dev/zero >lower.json",
		"echo '{\"format\":1,\"identity\":5}' >lower.json; echo '[' >clean",
		"ln -s ../victim quarantine",
		"echo >quarantine",
		"mkdir quarantine; ln -s ../../victim quarantine/trash; ln -s / quarantine/00000007-x; mkfifo quarantine/p",
		"ln -s /etc/passwd report.json",
		"echo 10 >var/nix/db/schema",
	};
	struct upper_fixture *f = *state;

	for (unsigned int i = 0; i < 2 * UL_ARRAY_SIZE(makers); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;

		upper_make(U);
		upper_run("", "rm -rf victim; mkdir -p victim/kept/deep victim/1 && echo precious >victim/1/file && "
			      "find victim | sort >listed");
		upper_run(U, makers[i / 2]);
		upper_agree(f, f->lower, mode);
		upper_run(U, "test -f report.json -a ! -L report.json -a -f lower.json -a ! -L lower.json "
			     "-a -d trash -a ! -L trash -a -z \"$(ls -A trash)\"");
		upper_run("",
			  "find victim | sort | cmp - listed && grep -q precious victim/1/file && test -f /etc/passwd");
		if (mode == UL_RECONCILE_REBUILD)
			assert_string_equal(upper_count("1"), "10");
		upper_shut_down(U);
		upper_agree(f, f->lower, mode);
		assert_true(f->report.was_clean);
		assert_false(ul_reconcile_did_something(&f->report));
	}
}

/* SQLite would read the journal that is named at another one's end, and delete it. */
static void journal_elsewhere(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_run(U, "echo precious >victim; { head -c 1024 /dev/zero; printf '%s/victim' \"$PWD\"; "
		     "head -c 8 /dev/zero; printf '\\331\\325\\005\\371\\040\\241\\143\\327'; } "
		     ">var/nix/db/db.sqlite-journal");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_int_equal(reported(f, QUARANTINED, "db.sqlite-journal"), 1);
	upper_run(U, "grep -q precious victim");
	assert_string_equal(upper_count("1"), "7");
}

/* ---- the database ---- */

/* What a running Nix leaves: rows in the log only. */
static void log_is_read(void **state)
{
	struct upper_fixture *f = *state;
	sqlite3 *db;
	char sql[300];

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		upper_add(U, 24, 0);
		db = db_help_open(upper_db(U));
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		snprintf(sql, sizeof(sql),
			 "pragma journal_mode = wal; insert into ValidPaths (path, hash, "
			 "registrationTime) select '%s', hash, 5 from ValidPaths limit 1",
			 upper_full(24));
		db_help_exec(db, sql);
		sqlite3_close(db);
		upper_run(U, "test -s var/nix/db/db.sqlite-wal");
		/* Without the mark its hash is looked at, which is another path's. */
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_int_equal(f->report.checked, 1);
		assert_int_equal(reported(f, INVALIDATED, upper_base(24)), 1);
		assert_int_equal(number(f, INVALIDATED), 1);
		upper_run(U, "test ! -s var/nix/db/db.sqlite-wal");
		snprintf(sql, sizeof(sql), "test -f quarantine/*/%s", upper_base(24));
		upper_run(U, sql);
	}
}

static void lies_about_the_lower(void **state)
{
	struct upper_fixture *f = *state;
	char sql[400];

	upper_fill(f, UL_RECONCILE_ATTACH);
	snprintf(sql, sizeof(sql), "update ValidPaths set hash = 'sha256:%064d' where path = '%s'", 0, upper_full(4));
	upper_exec(sql);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_int_equal(reported(f, UPDATED, upper_base(4)), 1);
	snprintf(sql, sizeof(sql),
		 "update Refs set reference = (select id from ValidPaths where path = '%s')"
		 " where referrer = (select id from ValidPaths where path = '%s')",
		 upper_full(20), upper_full(5));
	upper_exec(sql);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_int_equal(reported(f, UPDATED, upper_base(5)), 1);
	assert_int_equal(number(f, INVALIDATED), 0);
	snprintf(sql, sizeof(sql),
		 "select v.path from Refs r join ValidPaths v on v.id = r.reference where r.referrer ="
		 " (select id from ValidPaths where path = '%s')",
		 upper_full(5));
	assert_string_equal(upper_query(sql), upper_full(4));
	assert_string_equal(upper_count("hash like '%00000000'"), "0");
}

/* What Nix copied of the lower and nothing of the upper needs goes, and what a realisation of the upper needs stays. */
static void copies_go(void **state)
{
	struct upper_fixture *f = *state;
	char sql[400];

	upper_fill(f, UL_RECONCILE_ATTACH);
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(sql, sizeof(sql),
			 "insert into ValidPaths (path, hash, registrationTime) values ('%s', 'sha256:%064d', 5)",
			 upper_full(i), 7);
		upper_exec(sql);
	}
	snprintf(sql, sizeof(sql),
		 "insert into Realisations (drvPath, outputName, outputPath, signatures) select 'sha256:%064d', 'out', "
		 "id, '' from ValidPaths where path = '%s'",
		 1, upper_full(2));
	upper_exec(sql);
	upper_shut_down(U);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_false(f->report.database_kept);
	/* 20 to 23, 3 to 5, which they need, and 2. */
	assert_string_equal(upper_count("1"), "8");
	assert_string_equal(upper_query("select v.path from Realisations r join ValidPaths v on v.id = r.outputPath"),
			    upper_full(2));
	assert_int_equal(number(f, UPDATED), 1);
	assert_int_equal(reported(f, UPDATED, upper_base(2)), 1);
	assert_int_equal(number(f, INVALIDATED), 0);
	/* And then nobody looks any more. */
	upper_shut_down(U);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_true(f->report.database_kept);
}

/* Code in the schema is not run, and does not stay. */
static void foreign_schema(void **state)
{
	static const char *const schemas[] = {
		"create trigger t after update on ValidPaths begin delete from Refs; end",
		"create view v as select * from ValidPaths",
		"create index i on ValidPaths(abs(narSize))",
		"create unique index i on Refs(reference)",
		"create virtual table v using fts5(a)",
		"drop table DerivationOutputs",
		"pragma writable_schema = on; update sqlite_schema set sql = replace(sql, 'not null', '') "
		"where name = 'Refs'",
	};
	struct upper_fixture *f = *state;

	for (unsigned int i = 0; i < 2 * UL_ARRAY_SIZE(schemas); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;

		upper_make(U);
		upper_fill(f, mode);
		upper_exec(schemas[i / 2]);
		upper_agree(f, f->lower, mode);
		assert_false(f->report.database_kept);
		assert_string_equal(upper_count("1"), mode == UL_RECONCILE_REBUILD ? "14" : "7");
		assert_string_equal(upper_query("select count(*) from sqlite_schema where name in ('t', 'v', "
						"'i')"),
				    "0");
		db_help_assert_sound(upper_db(U));
	}
}

/* What another version of Nix has, or lacks, is no reason to write the database anew; what each one needs is made. */
static void other_schema(void **state)
{
	static const struct {
		const char *change, *query, *answer;
	} cases[] = {
		{"create index IndexReferrer on Refs(referrer)",
		 "select count(*) from sqlite_schema where name = 'IndexReferrer'", "1"},
		{"drop index IndexReference", "select count(*) from sqlite_schema where name = 'IndexReference'", "1"},
		{"drop index IndexDerivationOutputs",
		 "select count(*) from sqlite_schema where name = 'IndexDerivationOutputs'", "1"},
		{"drop trigger DeleteSelfRefs", "select count(*) from sqlite_schema where name = 'DeleteSelfRefs'",
		 "1"},
		{"drop index IndexRealisations", "select count(*) from sqlite_schema where name = 'IndexRealisations'",
		 "0"},
		{"alter table ValidPaths add column more integer not null default 7; update ValidPaths set more = id",
		 "select count(*) from ValidPaths where more = id", "n"},
		{"alter table Refs add column why text; update Refs set why = 'x'",
		 "select count(*) = (select count(*) from Refs) from Refs where why = 'x'", "1"},
		{"create table Later (a, b); create index l on Later(b); insert into Later values (1, 2)",
		 "select a || b from Later indexed by l where b = 2", "12"},
		{"insert into SchemaMigrations values ('20301231-what-comes')",
		 "select count(*) from SchemaMigrations where migration = '20301231-what-comes'", "1"},
	};
	struct upper_fixture *f = *state;

	for (unsigned int i = 0; i < 2 * UL_ARRAY_SIZE(cases); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;
		const char *answer = cases[i / 2].answer;

		upper_make(U);
		upper_fill(f, mode);
		upper_exec(cases[i / 2].change);
		upper_shut_down(U);
		for (unsigned int boot = 0; boot < 2; boot++) {
			upper_agree(f, f->lower, mode);
			if (!f->report.database_kept)
				fail_msg("%s: %s", cases[i / 2].change, f->report.database_reason);
			assert_string_equal(upper_query(cases[i / 2].query), answer[0] != 'n'               ? answer
									     : mode == UL_RECONCILE_REBUILD ? "14"
													    : "7");
			upper_shut_down(U);
		}
		db_help_assert_sound(upper_db(U));
	}
}

/* Whatever byte is wrong: the machine starts, and what can be read and is borne out by files stays. */
static void damaged(void **state)
{
	struct upper_fixture *f = *state;
	uint64_t seed = 7;

	for (unsigned int i = 0; i < 60; i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;
		char command[200];

		upper_make(U);
		upper_fill(f, mode);
		snprintf(command, sizeof(command),
			 "head -c %u /dev/urandom | dd of=var/nix/db/db.sqlite bs=1 seek=%u conv=notrunc "
			 "2>/dev/null",
			 (unsigned int)(random_next(&seed) % 300), (unsigned int)(random_next(&seed) % 40000));
		upper_run(U, command);
		/* An unchanged database of a clean shutdown is looked into only where it is small. */
		if (mode == UL_RECONCILE_REBUILD)
			upper_run(U, "rm clean");
		if (i % 5 == 4)
			upper_run(U, "truncate -s $((RANDOM % 40000)) var/nix/db/db.sqlite");
		upper_agree(f, f->lower, mode);
		if (mode == UL_RECONCILE_REBUILD)
			assert_true(atoi(upper_count("1")) >= 10);
		if (upper_holds(U, "test -e var/nix/db/db.sqlite"))
			db_help_assert_sound(upper_db(U));
	}
}

/* A leaf of Refs is gone: what stands elsewhere is kept. */
static void salvaged(void **state)
{
	struct upper_fixture *f = *state;
	int root;
	char command[200];

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		root = atoi(upper_query("select rootpage from sqlite_schema where name = 'IndexReference'"));
		snprintf(command, sizeof(command),
			 "dd if=/dev/zero of=var/nix/db/db.sqlite bs=4096 count=1 seek=%d conv=notrunc "
			 "2>/dev/null; rm clean",
			 root - 1);
		upper_run(U, command);
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_int_equal(number(f, INVALIDATED), 0);
		assert_string_equal(upper_count("1"), mode ? "14" : "7");
		db_help_assert_sound(upper_db(U));
	}
}

static void modes(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_agree(f, f->lower, UL_RECONCILE_REBUILD);
	assert_string_equal(upper_count("1"), "14");
	assert_int_equal(number(f, INVALIDATED), 0);
	upper_shut_down(U);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	/* 20 to 23, and 3 to 5, which they need. */
	assert_string_equal(upper_count("1"), "7");
	assert_int_equal(number(f, INVALIDATED), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
		TEST(sealed_names),      TEST(valid_again),  TEST(odd_places),
		TEST(journal_elsewhere), TEST(log_is_read),  TEST(lies_about_the_lower),
		TEST(foreign_schema),    TEST(other_schema), TEST(damaged),
		TEST(salvaged),          TEST(modes),        TEST(copies_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
