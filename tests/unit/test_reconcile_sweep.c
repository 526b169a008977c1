/*
 * The sweep of the kept layer: what goes, what stays, and what must not be taken for garbage. A disk that cannot
 * rename is made here: what this program defines takes the place of libc's function.
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define number(f, action)         ((f)->report.n[UL_RECONCILE_##action])
#define TOUCH                     "touch var/nix/db/db.sqlite"
#define BOTH_MODES                (enum ul_reconcile_mode mode = UL_RECONCILE_ATTACH; mode <= UL_RECONCILE_REBUILD; mode++)

#define S1 "sessions/00000001-0123456789abcdef/up"

static const char *stuck; /* renaming an entry of this name fails, */
static int stuck_for;     /* for this reason */

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	if (stuck && !strcmp(from, stuck)) {
		errno = stuck_for;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

/* Run it with a word for each path: the command has the base names of p20 to p25 as $p20 to $p25. */
static void run_named(const char *command)
{
	char text[2000] = "";

	for (unsigned int i = 20; i < 26; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "p%u=%s; ", i, upper_base(i));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", command);
	upper_run(U, text);
}

static const char garbage[] =
	"cd kept; mkdir -p .links/a $p24/deep/er 'a b'; echo >$p25; echo >$p20.lock; mkfifo pipe; mknod null c 1 3; "
	"mknod stale c 0 0; ln -s / root; ln -s ../victim link; echo >$p25-x; echo >\"$(printf '\\377')\"; "
	"mkdir -p $p23.chroot/nix/store; chmod 0 $p23.chroot; cd ..; " TOUCH;
#define GARBAGE 13 /* entries of it */

static void swept(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			upper_run("", "rm -rf victim && mkdir victim && echo >victim/file");
			run_named("find kept | sort >../before");
			run_named(garbage);
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), GARBAGE);
			assert_int_equal(number(f, INVALIDATED) + number(f, QUARANTINED), 0);
			assert_int_equal(reported(f, SWEPT, upper_base(24)), 1);
			assert_int_equal(reported(f, SWEPT, "\xff"), 1);
			run_named("find kept | sort | cmp - ../before && test -z \"$(ls trash)\" -a -e ../victim/file");
			upper_run(U, "grep -q '\"swept\":13' report.json");
			/* Paths of rows stay, of the collected ones none. */
			upper_exec(
				"delete from Refs where referrer = (select id from ValidPaths where path like '%-p21'); "
				"delete from ValidPaths where path like '%-p21'");
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 1);
			assert_int_equal(reported(f, SWEPT, upper_base(21)), 1);
			run_named("test -e kept/$p20 -a ! -e kept/$p21 -a -e kept/$p22 -a -e kept/$p23");
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_false(ul_reconcile_did_something(&f->report));
		}
}

/* An entry of the kept layer that a session hides goes like others; one of a session stays. */
static void sessions_are_not_swept(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			run_named("mkdir -p " S1 "; echo >" S1 "/$p24; echo >kept/$p24; mknod " S1
				  "/$p25 c 0 0; echo >kept/$p25; " TOUCH);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 2);
			run_named("test -e " S1 "/$p24 -a -c " S1 "/$p25 -a \"$(ls kept | wc -l)\" = 4");
		}
}

/* What may have lost its row by another's fault is not swept. */
static void not_swept(void **state)
{
	static const struct {
		const char *command; /* after which the database is not the last one */
		bool other;          /* another lower */
	} cases[] = {
		{"true", true},
		{"rm lower.json", false},
		{"rm var/nix/db/db.sqlite", false},
		{"echo garbage >var/nix/db/db.sqlite", false},
		{": >var/nix/db/db.sqlite", false},
		{"rm var/nix/db/schema", false},
		/* Pages are gone. */
		{"dd if=/dev/zero of=var/nix/db/db.sqlite bs=4096 count=12 seek=1 conv=notrunc 2>/dev/null", false},
		{"truncate -s 30000 var/nix/db/db.sqlite", false},
		{"rm kept/$p22", false},
	};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++)
		for
			BOTH_MODES
			{
				upper_make(U);
				upper_fill(f, mode);
				run_named(garbage);
				run_named(cases[i].command);
				run_named("rm -f clean; ls -A kept >../before");
				upper_agree(f, cases[i].other ? f->other : f->lower, mode);
				if (number(f, SWEPT) > 0)
					fail_msg("mode %d, %s", (int)mode, cases[i].command);
				run_named("ls -A kept | cmp - ../before");
			}
}

/* The index as it is without p21, on its page, the only one that it has. */
static void forget_in_index(const char *index)
{
	char command[300], sql[100];
	int page;

	snprintf(sql, sizeof(sql), "select rootpage from sqlite_schema where name = '%s'", index);
	page = atoi(upper_query(sql)) - 1;
	run_named("cp var/nix/db/db.sqlite ../whole");
	upper_exec("delete from Refs where referrer = (select id from ValidPaths where path like '%-p21'); "
		   "delete from ValidPaths where path like '%-p21'");
	snprintf(command, sizeof(command),
		 "dd if=var/nix/db/db.sqlite of=../whole bs=4096 count=1 skip=%d seek=%d conv=notrunc 2>/dev/null"
		 " && cp ../whole var/nix/db/db.sqlite",
		 page, page);
	upper_run(U, command);
}

/* An index that lacks a path is not asked: the path keeps its files. SQLite would rather read the second one. */
static void index_without_a_row(void **state)
{
	static const char *const indexes[] = {"sqlite_autoindex_ValidPaths_1", "somebodys"};
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			for (size_t i = 0; i < UL_ARRAY_SIZE(indexes); i++) {
				upper_make(U);
				upper_fill(f, mode);
				run_named(garbage);
				upper_exec("create index somebodys on ValidPaths(id, path)");
				forget_in_index(indexes[i]);
				upper_shut_down(U);
				upper_agree(f, f->lower, mode);
				assert_int_equal(reported(f, SWEPT, upper_base(21)), 0);
				run_named("test -e kept/$p21");
			}
		}
}

/* Many are swept in more than one boot, whether or not the database is written to in between. */
static void many(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			upper_run(U, "cd kept && seq -f garbage%.0f 20100 | xargs touch; cd .. && " TOUCH);
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 20000);
			assert_true(f->report.database_kept);
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 100);
			upper_run(U, "test $(ls kept | wc -l) = 4");
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 0);
			/* 10,000 of the trash go at each boot. */
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			upper_run(U, "test -z \"$(ls trash)\"");
		}
}

/* A full disk that has no room to throw anything away is no reason to fail. */
static void full_disk(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			upper_run(U, "mkdir -p trash/a; echo >trash/a/b; echo >kept/garbage; echo >kept/other; " TOUCH);
			stuck = "garbage";
			stuck_for = ENOSPC;
			upper_agree(f, f->lower, mode);
			stuck = NULL;
			upper_run(U, "test -e kept/garbage -a -z \"$(ls trash)\"");
			upper_agree(f, f->lower, mode);
			assert_int_equal(reported(f, SWEPT, "garbage"), 1);
			upper_run(U, "test \"$(ls kept | wc -l)\" = 4");
		}
}

/* Nor is an entry that cannot be moved: a symlink with a flag that nobody can take off it. */
static void stuck_garbage(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			upper_run(U, "echo >kept/garbage; ln -s / kept/other; " TOUCH);
			stuck = "other";
			stuck_for = EPERM;
			upper_agree(f, f->lower, mode);
			stuck = NULL;
			assert_int_equal(reported(f, NOTE, "other"), 1);
			assert_int_equal(number(f, SWEPT), 1);
			upper_run(U, "grep -q 'cannot be thrown away: Operation not permitted' report.json");
			upper_agree(f, f->lower, mode);
			assert_false(ul_reconcile_did_something(&f->report));
		}
}

/* A dry run tells what a real one does, also where rows are in the log only, and writes nothing. */
static void dry(void **state)
{
	static const char list[] = "{ find . | sort; find . -type f -exec sha256sum {} + | sort; }";
	const struct ul_reconcile_options o = {.dry_run = true};
	struct upper_fixture *f = *state;
	struct ul_error err = {0};
	char command[300];
	sqlite3 *db;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			upper_add(U, 24, 0);
			upper_add(U, 25, 0);
			db = db_help_open(upper_db(U));
			sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
			snprintf(
				command, sizeof(command),
				"pragma journal_mode = wal; insert into ValidPaths (path, hash, registrationTime) select '%s', "
				"hash, 5 from ValidPaths where path like '%%-p20'",
				upper_full(24));
			db_help_exec(db, command);
			sqlite3_close(db);
			/* So that the hash is not looked at, which is another's. */
			upper_run(U, "sed -i 's/\"checkedId\":[0-9 ]*/\"checkedId\":1000/' lower.json; rm clean");
			snprintf(command, sizeof(command), "%s >../before", list);
			upper_run(U, command);
			ul_reconcile_report_free(&f->report);
			assert_int_equal(upper_reconcile(U, f->lower, mode, &o, &f->report, &err), 0);
			snprintf(command, sizeof(command), "%s | diff - ../before", list);
			upper_run(U, command);
			assert_int_equal(number(f, SWEPT), 1);
			assert_int_equal(reported(f, SWEPT, upper_base(25)), 1);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, SWEPT), 1);
			assert_int_equal(reported(f, SWEPT, upper_base(25)), 1);
		}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
		TEST(swept),     TEST(sessions_are_not_swept), TEST(not_swept), TEST(index_without_a_row), TEST(many),
		TEST(full_disk), TEST(stuck_garbage),          TEST(dry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
