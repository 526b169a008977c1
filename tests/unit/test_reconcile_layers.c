/*
 * Reconcile over the layers of an upper: entries of sessions that are not joined yet, and a database that nobody
 * wrote to. Failures of the disk, and what SQLite reads, are made and counted here: what this program defines takes
 * the place of libc's functions.
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

static const char *unreadable; /* looking at an entry of this name fails */
static unsigned int reads;     /* from files at an offset: SQLite's */

int fstatat(int fd, const char *path, struct stat *st, int flags)
{
	if (unreadable && !strcmp(path, unreadable)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_newfstatat, fd, path, st, flags);
}

int plain_fstatat(int fd, const char *path, struct stat *st, int flags) __asm__("fstatat");
int plain_fstatat(int fd, const char *path, struct stat *st, int flags)
{
	return fstatat(fd, path, st, flags);
}

ssize_t pread(int fd, void *buf, size_t n, off_t offset)
{
	reads++;
	return (ssize_t)syscall(SYS_pread64, fd, buf, n, offset);
}

ssize_t plain_pread(int fd, void *buf, size_t n, off_t offset) __asm__("pread");
ssize_t plain_pread(int fd, void *buf, size_t n, off_t offset)
{
	return pread(fd, buf, n, offset);
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

/* ---- sessions ---- */

#define S1     "sessions/00000001-0123456789abcdef/up"
#define S2     "sessions/00000002-0123456789abcdef/up"
#define OPAQUE "setfattr -n trusted.overlay.opaque -v y"
#define COPIED "setfattr -n trusted.overlay.origin"

/* An upper with 20 to 23, all above the mark of a cut session, where the command then changes the layers. */
static void make_session(struct upper_fixture *f, enum ul_reconcile_mode mode, const char *command)
{
	upper_make(U);
	upper_fill(f, mode);
	upper_run(U, "rm clean; mkdir -p " S1 " " S2
		     "; sed -i 's/\"checkedId\":[0-9 ]*/\"checkedId\":0/' lower.json; " TOUCH);
	run_named(command);
}

static void cut_session(struct upper_fixture *f, enum ul_reconcile_mode mode, const char *command)
{
	make_session(f, mode, command);
	upper_agree(f, f->lower, mode);
}

/* What becomes of p20, to which p21 refers, and of p22, to which p23 does. */
static void entries_of_sessions(void **state)
{
	static const struct {
		const char *command;
		unsigned int checked, invalidated;
	} cases[] = {
		{"true", 4, 0},
		{"mv kept/$p20 " S1, 4, 0},
		{"mv kept/$p20 " S1 "; mv kept/$p22 " S2, 4, 0},
		{"rm -r kept; mkdir kept; touch " S1 "/x", 0, 4},
		/* A newer one counts, not the one beneath. */
		{"cp kept/$p20 " S1 "; echo spoilt >kept/$p20", 4, 0},
		{"echo spoilt >" S1 "/$p20", 4, 2},
		{"echo spoilt >" S1 "/$p20; mv kept/$p20 " S2, 4, 0},
		{"mv kept/$p20 " S1 "; echo spoilt >" S2 "/$p20", 4, 2},
		/* Whiteouts. */
		{"mknod " S1 "/$p20 c 0 0", 3, 2},
		{"mknod " S2 "/$p20 c 0 0; cp kept/$p20 " S1, 3, 2},
		{"mknod " S1 "/$p20 c 0 0; cp kept/$p20 " S2, 4, 0},
		{"mknod " S1 "/$p20 c 1 3", 3, 2},
		/* A directory in two layers shows both: it is not judged before it is joined. */
		{"rm kept/$p20; mkdir kept/$p20 " S1 "/$p20; " COPIED " " S1 "/$p20", 4, 0},
		{"rm kept/$p20; mkdir kept/$p20 " S1 "/$p20", 4, 0},
		/* One that is whole is. */
		{"rm kept/$p20; mkdir kept/$p20 " S1 "/$p20; " OPAQUE " " S1 "/$p20", 4, 2},
		{"mkdir " S1 "/$p20; " OPAQUE " " S1 "/$p20; " COPIED " " S1 "/$p20", 4, 2},
		{"mkdir " S1 "/$p20", 4, 2},
		/* What was changed of a directory that is gone: the join throws it away. */
		{"rm kept/$p20; mkdir " S1 "/$p20; " COPIED " " S1 "/$p20", 3, 2},
		{"rm kept/$p20; mkdir " S2 "/$p20; " COPIED " " S2 "/$p20; mknod " S1 "/$p20 c 0 0", 3, 2},
		{"mkdir " S1 "/$p20; " COPIED " " S1 "/$p20", 4, 0},
		{"rm kept/$p20; mkdir " S1 "/$p20 " S2 "/$p20; " COPIED " " S2 "/$p20", 4, 0},
		/* Not sessions. */
		{"mkdir -p sessions/1-0123456789abcdef/up; mv kept/$p20 sessions/1-0123456789abcdef/up", 3, 2},
		{"mv kept/$p20 " S1 "; mv " S1 " " S1 "x", 3, 2},
	};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		for
			BOTH_MODES
			{
				cut_session(f, mode, cases[i].command);
				if (f->report.checked != cases[i].checked ||
				    number(f, INVALIDATED) != cases[i].invalidated)
					fail_msg("mode %d, %s: %d checked, %d invalidated", (int)mode, cases[i].command,
						 (int)f->report.checked, (int)number(f, INVALIDATED));
				if (cases[i].invalidated == 2)
					assert_int_equal(reported(f, INVALIDATED, upper_base(20)) +
								 reported(f, INVALIDATED, upper_base(21)),
							 2);
			}
	}
}

/* What is in the way of the path's next build goes from the layer in which it is. */
static void broken_in_a_session(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			cut_session(f, mode, "rm kept/$p20; mkdir " S1 "/$p20; echo spoilt >" S1 "/$p20/x");
			run_named("grep -q spoilt quarantine/*/$p20/x && test ! -e " S1 "/$p20");
		}
}

/* No row is lost to a disk that fails to read. */
static void unreadable_entry(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			make_session(f, mode, "true");
			unreadable = upper_base(20);
			upper_agree(f, f->lower, mode);
			unreadable = NULL;
			assert_int_equal(f->report.checked, 4);
			assert_int_equal(number(f, INVALIDATED) + number(f, QUARANTINED), 0);
			assert_string_equal(upper_count("path like '%-p2_'"), "4");
		}
}

/* ---- a database that nobody wrote to ---- */

/* The database as it lies says something else, with the size and time that it had. */
static void change_unseen(const char *sql)
{
	upper_run(U, "touch -r var/nix/db/db.sqlite ../time; stat -c %s var/nix/db/db.sqlite >../size");
	upper_exec(sql);
	upper_run(U, "touch -r ../time var/nix/db/db.sqlite; stat -c %s var/nix/db/db.sqlite | cmp - ../size");
}

static void unchanged(void **state)
{
	struct upper_fixture *f = *state;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			assert_int_equal(f->report.upper_paths, 4);
			upper_run(U, "grep -q '\"upperPaths\":4' lower.json && rm -r kept && mkdir kept kept/garbage");
			change_unseen("update ValidPaths set hash = 'md5:x' where path like '%-p21'");
			upper_run(U, "find . -type f | sort | xargs sha256sum >../before");
			upper_agree(f, f->lower, mode);
			assert_true(f->report.database_kept);
			assert_int_equal(f->report.upper_paths, 4);
			assert_false(ul_reconcile_did_something(&f->report));
			upper_run(
				U,
				"rm -f ../before.; grep -v /clean ../before >../before. && sha256sum --quiet -c ../before. && "
				"test -d kept/garbage");
			/* Whoever writes to it changes its time, back or forth; a bit of a second will do. */
			upper_run(U, mode ? "touch -d 2001-01-01 var/nix/db/db.sqlite" : TOUCH);
			upper_shut_down(U);
			upper_agree(f, f->lower, mode);
			assert_int_equal(number(f, INVALIDATED), 4);
			assert_int_equal(f->report.upper_paths, 0);
		}
}

/* It is judged where anything else says so. */
static void not_unchanged(void **state)
{
	static const char *const makers[] = {
		"sed -i 's/\"identity\":\"/&x/' lower.json",
		"sed -i 's/\"databaseSize\":/&1/' lower.json",
		/* A digit less: a digit more is no number that is read. */
		"sed -i 's/\"databaseTime\":[0-9]/\"databaseTime\":/' lower.json",
		"touch -d 2031-02-03 var/nix/db/db.sqlite",
		"sed -i '/databaseTime/d' lower.json",
		"sed -i 's/,$/&\"upperPaths\":-1,/' lower.json; sed -i '/\"upperPaths\":4/d' lower.json",
		"rm lower.json",
		"rm var/nix/db/schema",
		"echo 9 >var/nix/db/schema",
		"echo >>var/nix/db/db.sqlite",
	};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(makers); i++)
		for
			BOTH_MODES
			{
				upper_make(U);
				upper_fill(f, mode);
				upper_run(U, "rm -r kept");
				upper_run(U, makers[i]);
				upper_agree(f, f->lower, mode);
				if (number(f, INVALIDATED) != 4)
					fail_msg("mode %d, %s: %d", (int)mode, makers[i], (int)number(f, INVALIDATED));
			}
}

/* Nobody is believed where the caller says so: rows of sealed paths are compared. */
static void always(void **state)
{
	const struct ul_reconcile_options o = {.check_always = true};
	struct upper_fixture *f = *state;
	struct ul_error err = {0};

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			change_unseen(
				"update ValidPaths set hash = replace(hash, substr(hash, 20, 20), '00000000000000000000')"
				" where path like '%-p4'");
			ul_reconcile_report_free(&f->report);
			assert_int_equal(upper_reconcile(U, f->lower, mode, &o, &f->report, &err), 0);
			assert_false(f->report.database_kept);
			assert_string_equal(upper_count("hash like '%00000000000000000000%'"), "0");
			assert_int_equal(reported(f, UPDATED, upper_base(4)), 1);
		}
}

/* What was in the log is a change. */
static void log_is_a_change(void **state)
{
	struct upper_fixture *f = *state;
	sqlite3 *db;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			db = db_help_open(upper_db(U));
			sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
			db_help_exec(
				db,
				"pragma journal_mode = wal; update ValidPaths set hash = 'md5:x' where path like '%-p21'");
			sqlite3_close(db);
			upper_run(U, "test -s var/nix/db/db.sqlite-wal && rm clean");
			upper_agree(f, f->lower, mode);
			assert_int_equal(reported(f, INVALIDATED, upper_base(21)), 1);
		}
}

static unsigned int count_reads(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	upper_shut_down(U);
	reads = 0;
	upper_agree(f, f->lower, mode);
	return reads;
}

/* An upper of 20,000 paths more costs no read more. */
static void cost_is_constant(void **state)
{
	struct upper_fixture *f = *state;
	unsigned int small, large, judged;

	for
		BOTH_MODES
		{
			upper_make(U);
			upper_fill(f, mode);
			small = count_reads(f, mode);
			upper_exec("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
				   "insert into ValidPaths (path, hash, registrationTime) select '/nix/store/' || "
				   "printf('%032d', i) || '-x', 'sha256:' || hex(zeroblob(32)), 5 from n");
			upper_run(
				U,
				"s=$(stat -c %s var/nix/db/db.sqlite) t=$(date -r var/nix/db/db.sqlite +%s%N); sed -i "
				"\"s/\\\"databaseSize\\\":[0-9]*/\\\"databaseSize\\\":$s/; "
				"s/\\\"databaseTime\\\":[0-9]*/\\\"databaseTime\\\":$t/\" lower.json");
			large = count_reads(f, mode);
			assert_true(f->report.database_kept);
			/* A tree of three levels where there were two. */
			assert_in_range(large, 1, small + 4);
			assert_in_range(small, 1, 60);
			upper_run(U, TOUCH);
			judged = count_reads(f, mode);
			assert_true(judged > 500);
			assert_int_equal(number(f, INVALIDATED), 20000);
		}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
		TEST(entries_of_sessions), TEST(broken_in_a_session), TEST(unreadable_entry),
		TEST(unchanged),           TEST(not_unchanged),       TEST(always),
		TEST(log_is_a_change),     TEST(cost_is_constant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
