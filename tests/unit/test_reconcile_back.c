/*
 * The way back: a machine builds on lower A, tries lower B, which seals some of what it built with other contents, and
 * goes back to A. All that it had is valid again, files and rows, in both modes, by way of a third lower, and whenever
 * the power was cut.
 *
 * B: all of A, and 20 and 22. C: neither, and lacks 3 to 5, to which 22 refers by way of 5. In the upper 21 refers to
 * 20, 23 to 22, and 20 to 2, which nobody else needs.
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
#include <sys/wait.h>

#include "common/cleanup.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/saved_row.h"
#include "tests/unit/disk_calls.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define CUT                       99
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define number(f, action)         ((f)->report.n[UL_RECONCILE_##action])

static bool counting;
static uint32_t calls, cut_at = UINT32_MAX;

static int disk_call(enum disk_kind kind, const char *path)
{
	(void)kind;
	(void)path;
	if (counting && calls++ == cut_at)
		_exit(CUT);
	return 0;
}

/* ---- the machine ---- */

static struct ul_manifest *trial;
static struct ul_buffer trial_bytes;

static int setup(void **state)
{
	static const unsigned int built[] = {20, 22};
	struct upper_fixture *f;

	if (upper_setup(state) < 0)
		return -1;
	f = *state;
	trial = upper_trial(f->paths, built, UL_ARRAY_SIZE(built), &trial_bytes);
	return 0;
}

static int teardown(void **state)
{
	ul_manifest_close(trial);
	ul_buffer_free(&trial_bytes);
	return upper_teardown(state);
}

/* All that the database says of the upper's paths, and where their files lie. */
static const char *describe(void)
{
	static char texts[2][16000];
	static unsigned int turn;
	char *text = texts[turn++ % 2];
	sqlite3 *db = db_help_open(upper_db(U));
	size_t n;

	db_help_assert_sound(upper_db(U));
	n = (size_t)snprintf(
		text, sizeof(texts[0]), "%s\n",
		db_help_text(db, "select group_concat(path || ' ' || hash || ' ' || registrationTime || ' ' || "
				 "ifnull(deriver, '-') || ' ' || narSize || ' ' || ifnull(ultimate, 0) || ' ' || "
				 "ifnull(sigs, '-') || ' ' || ifnull(ca, '-'), x'0a') from (select * from ValidPaths "
				 "where path glob '*-p2?' order by path)"));
	n += (size_t)snprintf(
		text + n, sizeof(texts[0]) - n, "%s\n",
		db_help_text(db, "select group_concat(a || ' ' || b, x'0a') from (select a.path a, b.path b from Refs "
				 "join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference where "
				 "a.path glob '*-p2?' order by 1, 2)"));
	(void)snprintf(text + n, sizeof(texts[0]) - n, "%s\n",
		       db_help_text(db, "select group_concat(d.path || ' ' || o.id || ' ' || o.path, x'0a') from "
					"DerivationOutputs o join ValidPaths d on d.id = o.drv"));
	sqlite3_close(db);
	upper_run(U, "cd kept && sha256sum * >../../kept-now");
	return text;
}

/* The machine on A. 20 has all that a row can have. */
static void build(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	char sql[900];

	upper_make(U);
	upper_fill(f, mode);
	snprintf(
		sql, sizeof(sql),
		"insert or ignore into ValidPaths (path, hash, registrationTime) select '%s', hash, 5 from ValidPaths limit 1;"
		"insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = '%s' and b.path = '%s';"
		"update ValidPaths set deriver = '%s.drv', ca = 'fixed:r:sha256:x', ultimate = 1 where path = '%s';"
		"insert into DerivationOutputs select id, 'out', '%s' from ValidPaths where path = '%s'",
		upper_full(2), upper_full(20), upper_full(2), upper_full(9), upper_full(20), upper_full(8),
		upper_full(20));
	upper_exec(sql);
	upper_agree(f, f->lower, mode);
	upper_shut_down(U);
}

static char was[16000];

static void remember(void)
{
	snprintf(was, sizeof(was), "%s", describe());
	upper_run("", "cp kept-now kept-was");
}

static void assert_as_it_was(const char *when)
{
	const char *now = describe();

	if (strcmp(now, was) != 0)
		fail_msg("%s:\n%s\nwas:\n%s", when, now, was);
	upper_run("", "diff kept-was kept-now");
}

/* ---- there and back ---- */

static void back(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		remember();
		upper_agree(f, trial, mode);
		assert_int_equal(number(f, QUARANTINED), 2);
		assert_int_equal(number(f, INVALIDATED), 0);
		assert_string_equal(upper_count("path glob '*-p2?' and hash like 'sha256:%'"), "4");
		upper_run(U, "test $(ls kept | wc -l) = 2");
		/* Another boot of the trial, which ends without a shutdown. */
		upper_shut_down(U);
		upper_agree(f, trial, mode);
		upper_agree(f, f->lower, mode);
		assert_true(reported(f, RESTORED, upper_base(20)) && reported(f, RESTORED, upper_base(22)));
		assert_int_equal(number(f, RESTORED), 2);
		assert_int_equal(number(f, INVALIDATED) + number(f, QUARANTINED) + number(f, NOTE), 0);
		assert_as_it_was("back");
		upper_run(U, "test -z \"$(ls quarantine)\"");
		upper_run(U, "jq -e '.counts.restored == 2 and (.restored | length) == 2' report.json >/dev/null");
		/* That is the end of it. */
		upper_shut_down(U);
		upper_agree(f, f->lower, mode);
		assert_true(f->report.database_kept && f->report.was_clean && number(f, RESTORED) == 0);
		assert_as_it_was("and after that");
	}
}

/* What the system of the trial built on 20 stays, and a clean shutdown of it counts. */
static void built_on_it(void **state)
{
	struct upper_fixture *f = *state;
	char sql[600];

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		upper_agree(f, trial, mode);
		/* Attached, what nothing of the upper needs any more goes: 2, to which 20 refers, will want a row. */
		upper_run(U, "touch var/nix/db/db.sqlite");
		upper_shut_down(U);
		upper_agree(f, trial, mode);
		upper_add(U, 24, 0);
		snprintf(
			sql, sizeof(sql),
			"insert into ValidPaths (path, hash, registrationTime, narSize) select '%s', 'sha256:' || "
			"hex(zeroblob(32)), 5, narSize from ValidPaths where path = '%s'; insert into Refs select a.id, "
			"b.id from ValidPaths a, ValidPaths b where a.path = '%s' and b.path in ('%s', '%s')",
			upper_full(24), upper_full(21), upper_full(24), upper_full(20), upper_full(7));
		upper_exec(sql);
		upper_shut_down(U);
		upper_agree(f, f->lower, mode);
		/* The hashes of what comes back are computed, and no others: 24 has a wrong one. */
		assert_true(f->report.was_clean);
		assert_int_equal(f->report.checked, 2);
		assert_int_equal(number(f, INVALIDATED), 0);
		assert_string_equal(upper_count("path glob '*-p2?'"), "5");
	}
}

/* 22 waits for a lower that has what it refers to; 20 does not wait. */
static void by_a_third(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		/* What C would cost anyway is not what this is about. */
		upper_exec("delete from Refs where referrer in (select id from ValidPaths where path like '%-p23');"
			   "delete from ValidPaths where path like '%-p23'");
		upper_run(U, "rm kept/*-p23");
		upper_agree(f, f->lower, mode);
		remember();
		upper_agree(f, trial, mode);
		upper_agree(f, f->other, mode);
		assert_int_equal(number(f, RESTORED), 1);
		assert_int_equal(reported(f, RESTORED, upper_base(20)), 1);
		assert_int_equal(number(f, NOTE), 0);
		assert_string_equal(upper_count("path glob '*-p2?'"), "2");
		upper_agree(f, f->lower, mode);
		assert_int_equal(number(f, RESTORED), 1);
		assert_as_it_was("by a third");
	}
}

/* Whiteouts and copies of the sealed path, which the trial's session left, are no changes of what comes back. */
static void session_of_the_trial(void **state)
{
	struct upper_fixture *f = *state;
	char command[300];

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		remember();
		upper_agree(f, trial, mode);
		snprintf(command, sizeof(command),
			 "mknod %s c 0 0; mkdir %s; setfattr -n trusted.overlay.origin -v 0x00 %s; echo >%s/x",
			 upper_base(20), upper_base(22), upper_base(22), upper_base(22));
		upper_session(U, 1, command);
		upper_agree(f, f->lower, mode);
		assert_as_it_was("after a whiteout");
		upper_run(U, "test -z \"$(ls sessions/*/up)\"");
	}
}

/* vanished = refuse asks what the way back costs: nothing. */
static void asked(void **state)
{
	const struct ul_reconcile_options refuse = {.refuse = true}, dry = {.dry_run = true};
	struct upper_fixture *f = *state;
	struct ul_error err = {0};

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		remember();
		upper_agree(f, trial, mode);
		upper_run(U, "find . -type f | sort | xargs sha256sum >../before");
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, f->lower, mode, &dry, &f->report, &err), 0);
		assert_int_equal(number(f, RESTORED), 2);
		assert_int_equal(number(f, INVALIDATED), 0);
		upper_run(U, "find . -type f | sort | xargs sha256sum | cmp - ../before");
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, f->lower, mode, &refuse, &f->report, &err), 0);
		assert_as_it_was("asked");
	}
}

/* ---- what somebody wrote there ---- */

static const struct {
	const char *title, *command; /* in the run's directory; $p: the base name of 20 */
} hostile[] = {
	{"another file's contents", "echo other >$p"},
	{"a file that is a link to itself", "rm $p; ln -s $p $p"},
	{"no entry", "rm $p"},
	{"a row that is no JSON", "echo x >row-$p"},
	{"a row that is a pipe", "rm row-$p; mkfifo row-$p"},
	{"a row that is a directory", "rm row-$p; mkdir row-$p"},
	{"a row that is a link", "mv row-$p x; ln -s x row-$p"},
	{"a row of a great length", "truncate -s 2M row-$p"},
	{"a row that is deep", "head -c 100000 /dev/zero | tr '\\0' '[' >row-$p"},
	{"a wrong hash", "sed -i 's/sha256:[0-9a-f]/sha256:x/' row-$p"},
	{"another hash", "sed -i 's/sha256:..../sha256:0000/' row-$p"},
	{"a wrong size", "sed -i 's/\"narSize\": *[0-9]*/\"narSize\": 1/' row-$p"},
	{"a negative size", "sed -i 's/\"narSize\": */&-/' row-$p"},
	{"a reference that is no path", "sed -i 's/\"references\": *\\[/&\"..\\/..\\/etc\",/' row-$p"},
	{"a reference to what is nowhere",
	 "sed -i 's/\"references\": *\\[/&\"00000000000000000000000000000000-no\",/' row-$p"},
	{"references that are no list", "sed -i 's/\"references\": *\\[/\"references\": {}, \"x\": [/' row-$p"},
	{"outputs without a path", "sed -i 's/\"outputs\": *\\[/&\"x\",/' row-$p"},
	{"a signature with a control character", "sed -i 's/key-1:/key-1\\\\u0007:/' row-$p"},
	{"another format", "sed -i 's/\"format\": *1/\"format\": 2/' row-$p"},
};

static void rejects(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		upper_agree(f, trial, mode);
		upper_run("", "rm -rf template && cp -a " U " template");
		for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
			char command[600];

			upper_run("", "rm -rf " U " && cp -a template " U);
			snprintf(command, sizeof(command), "p=%s; cd quarantine/*-superseded && { %s; }",
				 upper_base(20), hostile[i].command);
			upper_run(U, command);
			upper_agree(f, f->lower, mode);
			if (reported(f, RESTORED, upper_base(20)) || !reported(f, RESTORED, upper_base(22)) ||
			    !reported(f, INVALIDATED, upper_base(21)))
				fail_msg("%s", hostile[i].title);
			assert_string_equal(upper_count("path glob '*-p2?'"), "2");
			db_help_assert_sound(upper_db(U));
		}
	}
}

/* ---- cuts ---- */

/* In a process of its own; *ret_calls: how many calls there were. Its exit status: 0, CUT, or 1 for a failure. */
static int run(struct ul_manifest *lower, enum ul_reconcile_mode mode, uint32_t at)
{
	int status = -1;
	pid_t pid = fork();

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
		_exit(r < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Cut at each call of a run over the first lower, then whole runs over the others; the last is A. */
static void cut_everywhere(enum ul_reconcile_mode mode, const char *title, struct ul_manifest *const lowers[4],
			   uint32_t least)
{
	uint32_t at = 0;

	/* Where a whole run comes between, the ends are those of the shorter way: a part will do. */
	for (int status = CUT; status == CUT; at += lowers[2] ? 5 : 1) {
		char when[100];

		upper_run("", "rm -rf " U " && cp -a template " U);
		status = run(lowers[0], mode, at);
		for (int i = 1; i < 4 && lowers[i]; i++)
			assert_int_equal(run(lowers[i], mode, UINT32_MAX), 0);
		snprintf(when, sizeof(when), "%s, cut at %u", title, at);
		assert_as_it_was(when);
	}
	print_message("%s: up to call %u\n", title, at - 1);
	assert_in_range(at, least, 1000);
}

static void cuts(void **state)
{
	struct upper_fixture *f = *state;
	struct ul_manifest *a = f->lower, *b = trial;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		remember();
		upper_run("", "rm -rf template && cp -a " U " template");
		cut_everywhere(mode, "into the trial, back", (struct ul_manifest *[4]){b, a}, 30);
		cut_everywhere(mode, "into the trial, on, back", (struct ul_manifest *[4]){b, b, a}, 30);
		assert_int_equal(run(b, mode, UINT32_MAX), 0);
		upper_run("", "rm -rf template && cp -a " U " template");
		cut_everywhere(mode, "back", (struct ul_manifest *[4]){a, a}, 30);
		cut_everywhere(mode, "back, into the trial, back", (struct ul_manifest *[4]){a, b, a}, 30);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(back),  TEST(built_on_it), TEST(by_a_third), TEST(session_of_the_trial),
		TEST(asked), TEST(rejects),     TEST(cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
