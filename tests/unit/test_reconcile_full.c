/*
 * A disk that is full to its last block: from the N-th call on that needs a block, for every N, each fails until room
 * was made. Where there is any, the run ends as one over an empty disk: with the reserve, without it by what lies in
 * the quarantine, and by what was superseded last. Where there is none the run fails with a sentence that says what to
 * do, or leaves to the next boot what may wait, and that boot ends the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "dbgen/reconcile/quarantine.h"
#include "tests/unit/disk_calls.h"
#include "tests/unit/upper_help.h"

#define U      UPPER_NAME
#define FAILED 1
#define NEVER  UINT32_MAX

static bool counting, relieved, low;
static const char *relief; /* the file whose removal makes room; NULL: nothing does */
static uint32_t calls, full_at = NEVER;

static int disk_call(enum disk_kind kind, const char *path)
{
	uint32_t call = calls;

	if (!counting)
		return 0;
	relieved |= path && relief && !strcmp(path, relief);
	if (kind == DISK_OTHER || relieved)
		return 0;
	calls++;
	/* What is thrown away finds its place in the trash: only one directory has no entry left. */
	return call == full_at || (call > full_at && kind == DISK_GROWS) ? ENOSPC : 0;
}

int fstatvfs(int fd, struct statvfs *ret)
{
	(void)fd;
	*ret = (struct statvfs){.f_bsize = 4096, .f_frsize = 4096, .f_blocks = 1 << 20, .f_bavail = 1 << 19};
	ret->f_bfree = relieved ? 2000 : 1000;
	if (low)
		ret->f_bavail = 1;
	return 0;
}

/* ---- runs ---- */

static struct ul_manifest *lower;

/* In a process of its own: 0; FAILED: it failed, and says to make room; anything else is wrong. */
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
		int r;

		full_at = at;
		counting = true;
		r = upper_reconcile(U, lower, mode, NULL, &report, &err);
		counting = false;
		if (write(ends[1], &calls, sizeof(calls)) != sizeof(calls))
			_exit(2);
		if (r == 0)
			_exit(0);
		_exit(r == -UL_E_UPPER && strstr(err.todo, "ake room") ? FAILED : 3);
	}
	close(ends[1]);
	if (read(ends[0], ret_calls, sizeof(*ret_calls)) != sizeof(*ret_calls))
		*ret_calls = 0;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *describe(void)
{
	struct ul_buffer text = {0};
	sqlite3 *db = db_help_open(upper_db(U));

	db_help_assert_sound(upper_db(U));
	ul_buffer_printf(&text, "%s",
			 db_help_text(db, "select group_concat(path || hash, x'0a') from (select * from ValidPaths "
					  "order by path)"));
	sqlite3_close(db);
	upper_run(U, "ls kept >../kept; { ls kept; ls -R quarantine | grep -e '-p' | grep -v row- | sort; } >../names");
	return (char *)text.data;
}

/* Also what is left of a machine that gave up the way back for the room. */
static char *wanted, *without;

static void assert_wanted(const char *title, uint32_t at, bool may_lose)
{
	ul_autofree char *found = describe();

	if (may_lose && !strcmp(found, without)) {
		upper_run("", "diff kept kept-without");
		return;
	}
	if (strcmp(found, wanted) != 0)
		fail_msg("%s, full at %u:\n%s\nwanted:\n%s", title, at, found, wanted);
	/* What is superseded goes for good where the quarantine finds no room. */
	upper_run("", may_lose ? "diff kept kept-wanted" : "diff names names-wanted");
}

static void restore_with(const char *command)
{
	upper_run("", "rm -rf " U " && cp -a template " U);
	upper_run(U, command);
}

/* left: a command in the upper that makes it as it is to be found; by: what makes room. fails: of so many calls at
 * least the want of room fails the run. */
static void full_everywhere(enum ul_reconcile_mode mode, const char *title, const char *left, const char *by,
			    uint32_t fails)
{
	uint32_t total, n, failed = 0;

	relief = by;
	restore_with(left);
	assert_int_equal(run(mode, NEVER, &total), 0);
	assert_in_range(total, 10, 1000);
	wanted = describe();
	upper_run("", "cp names names-wanted; cp kept kept-wanted");
	restore_with("rm -rf quarantine/*-superseded");
	assert_int_equal(run(mode, NEVER, &n), 0);
	without = describe();
	upper_run("", "cp kept kept-without");
	restore_with(left);
	for (uint32_t at = 0; at < total; at++) {
		int status;

		restore_with(left);
		status = run(mode, at, &n);
		if (status != 0 && (status != FAILED || fails == 0))
			fail_msg("%s, full at %u: %d", title, at, status);
		failed += status != 0;
		if (fails > 0)
			assert_int_equal(run(mode, NEVER, &n), 0);
		assert_wanted(title, at, !by || !strcmp(by, "last"));
	}
	print_message("%s: %u calls, %u of them failed the run\n", title, total, failed);
	assert_true(fails == 0 ? failed == 0 : failed >= fails && failed < total - 1);
	free(wanted);
	free(without);
}

static struct ul_manifest *trial;
static struct ul_buffer trial_bytes;

/* Over another lower, which supersedes and gives back, of an upper that was not shut down. */
static void make_template(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	bool member[UPPER_PATHS] = {false};

	upper_make(U);
	upper_fill(f, mode);
	for (unsigned int i = 0; i < 10; i++)
		member[i] = true;
	member[20] = true;
	ul_manifest_close(trial);
	trial = upper_manifest(f->paths, member, &trial_bytes);
	upper_agree(f, trial, mode);
	member[20] = false;
	member[22] = true;
	ul_manifest_close(trial);
	lower = trial = upper_manifest(f->paths, member, &trial_bytes);
	upper_run(U, "mv quarantine/*-superseded x; rm -rf quarantine reserve; mkdir -p quarantine/00000002-x; "
		     "mv x quarantine/00000001-x-superseded; rm -f clean; mknod kept/stale c 0 0; echo >trash/1");
	upper_run("", "rm -rf template && mv " U " template");
}

static void full(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		make_template(f, mode);
		full_everywhere(mode, "with the reserve", "echo >reserve", "reserve", 0);
		full_everywhere(mode, "with the quarantine", "echo >quarantine/00000002-x/junk", "junk", 0);
		/* But first what comes back does. */
		full_everywhere(mode, "with what was superseded, and does not come back",
				"mkdir quarantine/00000003-x-superseded; echo >quarantine/00000003-x-superseded/last",
				"last", 0);
		full_everywhere(mode, "with nothing", "true", NULL, 8);
	}
}

/* ---- what goes last of the quarantine ---- */

static const struct {
	const char *title;
	struct ul_quarantine_limits limits;
	bool low;
	const char *left; /* numbers of the runs: 2 and 3 hold what was superseded */
} limits[] = {
	{"there is room", {.now = 1800000500, .age = 1000}, false, "1234"},
	{"the disk is nearly full", {.now = 1800000500, .age = 1000}, true, "23"},
	{"a limit of size that the others keep", {.now = 1800000500, .size = 150000}, false, "1234"},
	{"one that one of them passes", {.now = 1800000500, .size = 100000}, false, "234"},
	{"one that both pass", {.now = 1800000500, .size = 1}, false, "23"},
	{"their age", {.now = 1800001350, .age = 1000}, false, "34"},
	{"a boot in 1970", {.now = 20, .age = 1000}, false, "1234"},
	{"a boot in 1970 on a disk that is nearly full", {.now = 20, .age = 1000}, true, "23"},
	{"no room at all", {.extent = UL_QUARANTINE_JUNK}, false, "23"},
	{"none without them", {.extent = UL_QUARANTINE_ALL}, false, ""},
};

static void goes_last(void **state)
{
	struct ul_reconcile_report report = {0};
	struct ul_error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct ul_reconcile_options o = {.upper_path = U};
		char command[200];
		struct ul_upper_dir u;

		upper_run(
			U,
			"rm -rf quarantine; mkdir quarantine; cd quarantine; n=1; for name in 00000001-x "
			"00000002-x-superseded 00000003-x-superseded 00000004-x; do mkdir $name; "
			"head -c 61440 /dev/zero >$name/x; touch -d @$((1800000000 + n * 150)) $name; n=$((n + 1)); done");
		o.upper_fd = open(db_help_subdir(U), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		low = limits[i].low;
		ul_upper_dir_init(&u, &o, &report, &err);
		assert_int_equal(ul_quarantine_empty(&u, &limits[i].limits), 0);
		ul_upper_dir_close(&u);
		close(o.upper_fd);
		snprintf(command, sizeof(command), "test \"$(ls quarantine | cut -c8 | tr -d '\n')\" = \"%s\"",
			 limits[i].left);
		if (!upper_holds(U, command))
			fail_msg("%s: not %s are left", limits[i].title, limits[i].left);
	}
	low = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(full, upper_setup, upper_teardown),
		cmocka_unit_test_setup_teardown(goes_last, upper_setup, upper_teardown),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	ul_manifest_close(trial);
	ul_buffer_free(&trial_bytes);
	return failed;
}
