/*
 * A cut at every single write of a reconcile: the process ends at the N-th call that changes anything on the disk, for
 * every N, and the next run must end where a run without a cut ends. Cuts of the run after a cut are tried as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/compare.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/disk_calls.h"
#include "tests/unit/upper_help.h"

#define U       UPPER_NAME
#define CUT     99 /* exit status of a run that was cut */
#define NO_CUT  UINT32_MAX
#define MAX_CUT 2000

static bool counting;
static uint32_t calls, cut_at = NO_CUT;

static int disk_call(enum disk_kind kind, const char *path)
{
	(void)kind;
	(void)path;
	if (counting && calls++ == cut_at)
		_exit(CUT);
	return 0;
}

/* ---- runs ---- */

static struct upper_fixture *fixture;
static struct ul_manifest *lower; /* that the runs are over */

/* In a process of its own. Its exit status: 0, CUT, or 1 for a failure. *ret_calls: how many there were. */
static int run(enum ul_reconcile_mode mode, uint32_t at, uint32_t *ret_calls)
{
	int status = -1, ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct ul_reconcile_report report;
		struct ul_error err = {0};
		char sentence[1200];
		int r;

		cut_at = at;
		counting = true;
		r = upper_reconcile(U, lower, mode, NULL, &report, &err);
		counting = false;
		if (r < 0)
			fprintf(stderr, "%s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
		if (write(ends[1], &calls, sizeof(calls)) != sizeof(calls))
			_exit(2);
		_exit(r < 0);
	}
	close(ends[1]);
	if (read(ends[0], ret_calls, sizeof(*ret_calls)) != sizeof(*ret_calls))
		*ret_calls = 0;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static struct ul_buffer *describing;

/*
 * Names below the upper, but for rows in the quarantine, which a cut may leave without an entry, the number of the
 * run that moved something, SQLite's own files, and what was told.
 */
static int describe_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	(void)type;
	if (ftw->level == 0 || strstr(name, "-shm") || strstr(name, "-wal") || !strncmp(name, "report.json", 11) ||
	    !strncmp(name, "row-", 4) || strspn(name, "0123456789") == 8)
		return 0;
	return ul_buffer_printf(describing, "%s %o %d\n", name, (unsigned int)st->st_mode,
				strstr(path, "quarantine/") != NULL);
}

/* Everything that must not depend on cuts: rows, entries, what was moved away, what lower.json says but the time. */
static char *describe(void)
{
	static const char *const queries[] = {
		"select group_concat(path || hash || ifnull(narSize, 0) || ifnull(sigs, '') || "
		"ifnull(ultimate, 0), x'0a') from (select * from ValidPaths order by path)",
		"select group_concat(a || b, x'0a') from (select a.path as a, b.path as b from Refs join "
		"ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference order by 1, 2)",
		"pragma integrity_check",
	};
	ul_autobuffer struct ul_buffer found = {0};
	struct ul_buffer text = {0};
	char path[300], *lines[200], *end = NULL;
	sqlite3 *db = db_help_open(upper_db(U));
	size_t n = 0;

	describing = &found;
	assert_int_equal(nftw(db_help_subdir(U), describe_file, 8, FTW_PHYS), 0);
	for (char *line = strtok_r(ul_buffer_string(&found), "\n", &end); line && n < 200;
	     line = strtok_r(NULL, "\n", &end))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), ul_compare_texts);
	for (size_t i = 0; i < n; i++)
		ul_buffer_printf(&text, "%s\n", lines[i]);
	for (size_t i = 0; i < UL_ARRAY_SIZE(queries); i++)
		ul_buffer_printf(&text, "%s\n", db_help_text(db, queries[i]));
	sqlite3_close(db);
	upper_run(U, "stat -c '\"databaseSize\":%s,' var/nix/db/db.sqlite | grep -qFf - lower.json");
	upper_run(U, "date -r var/nix/db/db.sqlite '+\"databaseTime\":%s%N,' | grep -qFf - lower.json");
	upper_run(U, "grep -v databaseTime lower.json >../lower.json");
	snprintf(path, sizeof(path), "%s/lower.json", db_help_dir());
	assert_int_equal(ul_read_file(AT_FDCWD, path, 65536, &text), 0);
	assert_non_null(ul_buffer_string(&text));
	return (char *)text.data;
}

static void restore(void)
{
	upper_run("", "rm -rf " U " && cp -a template " U);
}

static char *wanted;

static void compare(uint32_t first, uint32_t second)
{
	ul_autofree char *found = describe();

	if (strcmp(found, wanted) != 0)
		fail_msg("cut at %u, then at %d:\n%s\nwanted:\n%s", first, (int)second, found, wanted);
}

/* The next run ends where a run without a cut ends, and the one after it changes nothing. */
static void assert_repaired(enum ul_reconcile_mode mode, uint32_t first, uint32_t second)
{
	struct ul_reconcile_report report;
	uint32_t n;

	assert_int_equal(run(mode, NO_CUT, &n), 0);
	compare(first, second);
	upper_shut_down(U);
	upper_agrees(U, lower, mode, &report);
	assert_false(ul_reconcile_did_something(&report));
	assert_true(report.database_kept);
	ul_reconcile_report_free(&report);
}

/* An upper with something of everything, as a power cut left it on the other lower. */
static void make_template(enum ul_reconcile_mode mode)
{
	char command[600], sql[300];
	sqlite3 *db;

	upper_make(U);
	upper_fill(fixture, mode);
	upper_add(U, 24, 0);
	upper_add(U, 25, 0);
	db = db_help_open(upper_db(U));
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	for (unsigned int i = 24; i < 26; i++) {
		snprintf(sql, sizeof(sql),
			 "insert into ValidPaths (path, hash, registrationTime) select '%s', hash, 5 from "
			 "ValidPaths limit 1",
			 upper_full(i));
		db_help_exec(db, sql);
	}
	sqlite3_close(db);
	snprintf(command, sizeof(command),
		 "rm clean; mkdir kept/%s; ln -s / kept/%s; mknod kept/%s c 0 0; mknod kept/stale c 0 0; "
		 "rm kept/%s; mkdir -p trash/t; echo >trash/t/left",
		 upper_base(0), upper_base(1), upper_base(2), upper_base(21));
	upper_run(U, command);
	upper_run("", "rm -rf template && cp -a " U " template");
}

/*
 * An upper of the same lower, whose last system collected p21 and p23, after a build that was cut: there is garbage,
 * and the quarantine and the trash are full.
 */
static void make_garbage(enum ul_reconcile_mode mode)
{
	char command[600];

	upper_make(U);
	upper_fill(fixture, mode);
	upper_exec("delete from Refs where referrer in (select id from ValidPaths where path like '%-p21' or path like "
		   "'%-p23'); delete from ValidPaths where path like '%-p21' or path like '%-p23'");
	snprintf(
		command, sizeof(command),
		"mkdir -p kept/.links/a kept/%s/b; echo >kept/%s.lock; mkdir -p trash/t/u; echo >trash/t/left; ln -s / trash/l; "
		"mkdir -p quarantine/00000001-a quarantine/00000002-b; touch -d 1990-01-01 quarantine/00000001-a",
		upper_base(25), upper_base(20));
	upper_run(U, command);
	if (mode == UL_RECONCILE_REBUILD)
		upper_run(U, "rm clean");
	upper_run("", "rm -rf template && cp -a " U " template");
}

/* At every write of a run over the upper that `make` makes. At least `least` of them. */
static void cut_everywhere(enum ul_reconcile_mode mode, void (*make)(enum ul_reconcile_mode mode), uint32_t least)
{
	uint32_t n, total, again;

	make(mode);
	assert_int_equal(run(mode, NO_CUT, &total), 0);
	wanted = describe();
	print_message("%u writes\n", total);
	assert_in_range(total, least, MAX_CUT);
	for (uint32_t at = 0; at < total; at++) {
		restore();
		assert_int_equal(run(mode, at, &n), CUT);
		assert_repaired(mode, at, NO_CUT);
		/* Another cut, in the run that repairs. */
		if (at % 4 != 0 && !getenv("UL_CUTS_LONG"))
			continue;
		restore();
		assert_int_equal(run(mode, at, &n), CUT);
		again = at * 7 % total;
		if (run(mode, again, &n) == CUT)
			assert_repaired(mode, at, again);
	}
	free(wanted);
}

static void another_lower(void **state)
{
	fixture = *state;
	lower = fixture->other;
	cut_everywhere(UL_RECONCILE_ATTACH, make_template, 30);
	cut_everywhere(UL_RECONCILE_REBUILD, make_template, 30);
}

static void garbage(void **state)
{
	fixture = *state;
	lower = fixture->lower;
	cut_everywhere(UL_RECONCILE_ATTACH, make_garbage, 20);
	upper_run(U, "test \"$(ls kept | wc -l)\" = 2 -a -z \"$(ls trash)\"");
	cut_everywhere(UL_RECONCILE_REBUILD, make_garbage, 30);
	upper_run(U, "test \"$(ls kept | wc -l)\" = 2 -a -z \"$(ls trash)\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(another_lower, upper_setup, upper_teardown),
		cmocka_unit_test_setup_teardown(garbage, upper_setup, upper_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
