/*
 * Reconcile where something changes: another lower, refusals, half-written paths and the clean mark, the quarantine's
 * end.
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
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/reconcile/quarantine.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define number(f, action)         ((f)->report.n[UL_RECONCILE_##action])

/* ---- another lower ---- */

static void vanished(void **state)
{
	struct upper_fixture *f = *state;
	struct ul_reconcile_options o = {.refuse = true};
	struct ul_error err = {0};

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		upper_run(U, "find . -type f | sort | xargs sha256sum >../before");
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, f->other, (enum ul_reconcile_mode)mode, &o, &f->report, &err),
				 -UL_E_RECONCILE);
		assert_true(!strcmp(err.object, upper_base(22)) || !strcmp(err.object, upper_base(23)));
		upper_run(U, "find . -type f | sort | xargs sha256sum | cmp - ../before");
		upper_agree(f, f->other, (enum ul_reconcile_mode)mode);
		for (unsigned int i = 0; i < UPPER_PATHS; i++)
			assert_int_equal(reported(f, INVALIDATED, upper_base(i)),
					 (i >= 3 && i <= 5) || i == 22 || i == 23);
		upper_run(U, "grep -q '\"invalidated\": *5' report.json");
		/* Files stay: they are garbage, and would be right again. */
		upper_run(U, "test $(ls kept | wc -l) = 4");
		/* On the lower that it agrees with, nothing is refused. */
		upper_shut_down(U);
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, f->other, (enum ul_reconcile_mode)mode, &o, &f->report, &err), 0);
	}
}

static void dry_run(void **state)
{
	struct upper_fixture *f = *state;
	struct ul_reconcile_options o = {.dry_run = true};
	struct ul_error err = {0};
	char command[200];

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		snprintf(command, sizeof(command),
			 "echo >kept/%s; mknod kept/x c 0 0; echo >trash/x; rm clean; mkdir clean", upper_base(8));
		upper_run(U, command);
		upper_run(U, "find . | sort >../before; sha256sum var/nix/db/db.sqlite >>../before");
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, f->other, (enum ul_reconcile_mode)mode, &o, &f->report, &err), 0);
		assert_int_equal(number(f, INVALIDATED), 5);
		assert_int_equal(number(f, QUARANTINED), 2);
		upper_run(U, "{ find . | sort; sha256sum var/nix/db/db.sqlite; } | cmp - ../before");
	}
}

/*
 * Rows in a circle, which no order can sort: the database goes, and paths of the next one are checked from id 1
 * on.
 */
static void circle(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_exec("insert into Refs select (select id from ValidPaths where path like '%-p20'),"
		   " (select id from ValidPaths where path like '%-p21');"
		   "update ValidPaths set hash = 'sha256:' || hex(zeroblob(32)) where path like '%-p3'");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_int_equal(number(f, QUARANTINED), 1);
	upper_run(U, "test ! -e var/nix/db/db.sqlite && grep -q '\"checkedId\":0' lower.json");
}

/* A dry run writes nothing, also where a real run puts a damaged database's sound rows beside it for a moment. */
static void dry_run_of_damaged(void **state)
{
	static const enum ul_reconcile_mode modes[] = {UL_RECONCILE_ATTACH, UL_RECONCILE_REBUILD};
	static const char list[] = "{ find . | sort; find . -type f -exec sha256sum {} + | sort; }";
	const struct ul_reconcile_options dry = {.dry_run = true};
	struct upper_fixture *f = *state;

	for (unsigned int i = 0; i < 20; i++) {
		struct ul_error err = {0};
		char command[300];

		upper_make(U);
		upper_fill(f, modes[i % 2]);
		snprintf(command, sizeof(command), "rm clean && truncate -s %u var/nix/db/db.sqlite && %s >../before",
			 3000 + 2500 * i, list);
		upper_run(U, command);
		ul_reconcile_report_free(&f->report);
		/* It may fail: not every damage lets it tell what would be done. */
		(void)upper_reconcile(U, f->lower, modes[i % 2], &dry, &f->report, &err);
		snprintf(command, sizeof(command), "%s | diff - ../before", list);
		upper_run(U, command);
	}
}

static void roots(void **state)
{
	struct upper_fixture *f = *state;
	char command[1000];

	upper_fill(f, UL_RECONCILE_ATTACH);
	snprintf(command, sizeof(command),
		 "mkdir -p var/nix/gcroots/auto var/nix/profiles/per-user; "
		 "ln -s %s var/nix/profiles/system-1-link; ln -s %s/bin var/nix/gcroots/a; "
		 "ln -s %s var/nix/gcroots/b; ln -s /home/x/result var/nix/gcroots/auto/c; ln -s / "
		 "var/nix/profiles/per-user/root",
		 upper_full(5), upper_full(20), upper_full(9));
	upper_run(U, command);
	upper_agree(f, f->other, UL_RECONCILE_ATTACH);
	assert_int_equal(number(f, DANGLING), 1);
	assert_int_equal(reported(f, DANGLING, "profiles/system-1-link"), 1);
}

/* ---- the clean mark ---- */

static void half_written(void **state)
{
	struct upper_fixture *f = *state;
	char command[200];

	for (int mode = 0; mode < 2; mode++) {
		/* 20 is spoilt: it was there at the last mark, so nobody looks. */
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		snprintf(command, sizeof(command), "echo spoilt >kept/%s; rm clean; touch var/nix/db/db.sqlite",
			 upper_base(20));
		upper_run(U, command);
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_false(f->report.was_clean);
		assert_int_equal(f->report.checked, 0);
		/* Nothing was there at the last mark: all are looked at, and 21 goes with 20. */
		upper_run(U,
			  "sed -i 's/\"checkedId\":[0-9 ]*/\"checkedId\":0/' lower.json; touch var/nix/db/db.sqlite");
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_int_equal(f->report.checked, 4);
		assert_int_equal(number(f, INVALIDATED), 2);
		assert_int_equal(reported(f, INVALIDATED, upper_base(21)), 1);
		snprintf(command, sizeof(command), "grep -q spoilt quarantine/*/%s", upper_base(20));
		upper_run(U, command);
		/* What is missing goes whether the mark is there or not. */
		upper_shut_down(U);
		snprintf(command, sizeof(command), "rm -f kept/%s; touch var/nix/db/db.sqlite", upper_base(22));
		upper_run(U, command);
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_true(f->report.was_clean);
		assert_int_equal(f->report.checked, 0);
		assert_int_equal(reported(f, INVALIDATED, upper_base(22)), 1);
		assert_int_equal(reported(f, INVALIDATED, upper_base(23)), 1);
	}
}

/* A mark that was made before the last registration is none. */
static void stale_mark(void **state)
{
	struct upper_fixture *f = *state;
	char sql[300];

	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_add(U, 24, 0);
	snprintf(sql, sizeof(sql),
		 "insert into ValidPaths (path, hash, registrationTime) select '%s', hash, 5 from "
		 "ValidPaths limit 1",
		 upper_full(24));
	upper_exec(sql);
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_false(f->report.was_clean);
	assert_int_equal(f->report.checked, 1);
	assert_int_equal(reported(f, INVALIDATED, upper_base(24)), 1);
	upper_run(U, "test ! -e clean");
}

/* ---- the quarantine ---- */

static void quarantine_is_emptied(void **state)
{
	struct upper_fixture *f = *state;
	struct ul_reconcile_options o = {.quarantine_size = 100000, .quarantine_age = 1000};
	struct ul_error err = {0};

	upper_run(U, "mkdir -p quarantine/00000001-a quarantine/00000002-b quarantine/00000003-c");
	upper_run(U, "head -c 80000 /dev/zero >quarantine/00000002-b/x; ln -s / quarantine/00000002-b/y");
	upper_run(U, "head -c 50000 /dev/zero >quarantine/00000003-c/x; echo >stays; "
		     "ln -s \"$PWD\" quarantine/00000001-a/up");
	/* Deeper than paths may be long. */
	upper_run(U, "cd quarantine/00000001-a; for i in $(seq 400); do mkdir deep-directory; cd -P "
		     "deep-directory; done; echo >file");
	assert_int_equal(upper_reconcile(U, f->lower, UL_RECONCILE_ATTACH, &o, &f->report, &err), 0);
	assert_int_equal(f->report.emptied, 2);
	upper_run(U, "test \"$(ls quarantine)\" = 00000003-c -a -e stays");
	upper_run(U, "touch -d '1 hour ago' quarantine/00000003-c");
	ul_reconcile_report_free(&f->report);
	assert_int_equal(upper_reconcile(U, f->lower, UL_RECONCILE_ATTACH, &o, &f->report, &err), 0);
	upper_run(U, "test -z \"$(ls quarantine)\"");
}

/* Runs of the quarantine, and the seconds since 1970 of each one's stamp. */
static const struct clocks {
	const char *title;
	int64_t now, stamps[4]; /* 0: there are no more */
	const char *left;       /* digits of their numbers */
} clocks[] = {
	/* A limit of 1000 seconds; 1.8e9 is in 2027. */
	{"right clocks", 1800002000, {1800000000, 1800000500, 1800001500}, "3"},
	{"a run of 1970 behind a young one", 1800000500, {1800000000, 20}, "12"},
	{"only runs of 1970", 1800000500, {20, 40}, "12"},
	{"a run of 1970 goes with a later one that is old", 1800005000, {20, 1800000000, 30}, "3"},
	{"a boot in 1970", 20, {1800000000, 1800000500}, "12"},
	{"a boot in 1970 after another", 5000, {20, 40}, "12"},
	{"a clock that lost a year", 1800000500, {1800000000, 1768000000}, "12"},
	{"a clock that ran ahead", 1800000500, {1900000000, 1800000000}, "12"},
	{"it does not hide that others are old", 1800005000, {1900000000, 1800000000, 1800004500}, "3"},
};

static void quarantine_of_wrong_clocks(void **state)
{
	struct ul_reconcile_report report = {0};
	struct ul_error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		const struct clocks *c = &clocks[i];
		const struct ul_quarantine_limits limits = {.age = 1000, .now = c->now};
		struct ul_reconcile_options o = {.upper_path = U};
		char command[160];
		struct ul_upper_dir u;

		upper_run(U, "rm -rf quarantine");
		for (int k = 0; k < 4 && c->stamps[k]; k++) {
			snprintf(command, sizeof(command),
				 "mkdir -p quarantine/0000000%d-x/y && touch -d @%lld quarantine/0*%d-x", k + 1,
				 (long long)c->stamps[k], k + 1);
			upper_run(U, command);
		}
		o.upper_fd = open(db_help_subdir(U), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ul_upper_dir_init(&u, &o, &report, &err);
		assert_int_equal(ul_quarantine_empty(&u, &limits), 0);
		ul_upper_dir_close(&u);
		close(o.upper_fd);
		snprintf(command, sizeof(command), "test \"$(ls quarantine | cut -c8 | tr -d '\\n')\" = \"%s\"",
			 c->left);
		if (!upper_holds(U, command))
			fail_msg("%s: not %s are left", c->title, c->left);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
		TEST(vanished),
		TEST(dry_run),
		TEST(dry_run_of_damaged),
		TEST(circle),
		TEST(roots),
		TEST(half_written),
		TEST(stale_mark),
		TEST(quarantine_is_emptied),
		TEST(quarantine_of_wrong_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
