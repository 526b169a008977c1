/*
 * A directory of the upper that the disk gives in part: what this program defines takes the place of libc's readdir,
 * and ends in an error there. An error is not the end: no run of the quarantine comes to be older than it is, and none
 * is taken for an empty one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "dbgen/reconcile/quarantine.h"
#include "tests/unit/upper_help.h"

#define U UPPER_NAME

static ino_t unlistable;   /* reading the directory of this inode fails; 0: none */
static unsigned int after; /* so many entries */

static struct dirent *next(DIR *dir)
{
	static struct dirent *(*of_libc)(DIR *);

	if (!of_libc)
		*(void **)&of_libc = dlsym(RTLD_NEXT, "readdir");
	return of_libc(dir);
}

struct dirent *readdir(DIR *dir)
{
	struct stat st;

	if (unlistable && fstat(dirfd(dir), &st) == 0 && st.st_ino == unlistable && after-- == 0) {
		after = 0;
		errno = EIO;
		return NULL;
	}
	return next(dir);
}

static void fail_in(const char *below, unsigned int n)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", db_help_subdir(U), below);
	assert_int_equal(stat(path, &st), 0);
	unlistable = st.st_ino;
	after = n;
}

static int teardown(void **state)
{
	unlistable = 0;
	return upper_teardown(state);
}

static void error_and_end(void **state)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int n = 0, r;

	(void)state;
	upper_run(U, "touch kept/a kept/b");
	fail_in("kept", 3);
	assert_int_equal(ul_dir_open(AT_FDCWD, db_help_subdir(U "/kept"), &dir), 0);
	while ((r = ul_dir_next(dir, &entry)) > 0)
		n++;
	assert_int_equal(r, -EIO);
	assert_true(n < 2);
	/* To those who say why, it is the end. */
	assert_false(ul_dir_next_readable(dir, &entry));
	unlistable = 0;
	rewinddir(dir);
	for (n = 0; ul_dir_next_readable(dir, &entry); n++)
		;
	assert_int_equal(n, 2);
}

/* What is to be moved stays where it is, rather than in a run that would be the next one to go. */
static void run_gets_no_number(void **state)
{
	struct upper_fixture *f = *state;
	struct ul_error err = {0};

	for (unsigned int n = 0; n < 4; n++) {
		upper_make(U);
		upper_run(U, "rm -rf quarantine; mkdir -p quarantine/00000007-a quarantine/00000008-b clean");
		fail_in("quarantine", n);
		assert_int_equal(upper_reconcile(U, f->lower, UL_RECONCILE_ATTACH, NULL, &f->report, &err),
				 -UL_E_UPPER);
		assert_string_equal(err.object, "quarantine");
		assert_int_equal(err.errnum, EIO);
		unlistable = 0;
		upper_run(U, "test \"$(ls quarantine | tr '\\n' ' ')\" = '00000007-a 00000008-b ' -a -d clean");
		ul_reconcile_report_free(&f->report);
		/* With the whole list it is the next one. */
		assert_int_equal(upper_reconcile(U, f->lower, UL_RECONCILE_ATTACH, NULL, &f->report, &err), 0);
		upper_run(U, "test -d quarantine/00000009-*/clean");
		ul_reconcile_report_free(&f->report);
	}
}

/* Of the older run it cannot be told how much it holds: with the younger one it may be too much. */
static void size_is_not_nothing(void **state)
{
	const struct ul_quarantine_limits limits = {.size = 1000000};
	struct upper_fixture *f = *state;

	for (unsigned int n = 0; n < 5; n++) {
		struct ul_reconcile_options o = {.upper_path = U};
		struct ul_error err = {0};
		struct ul_upper_dir u;
		int r;

		upper_run(U, "rm -rf quarantine; mkdir -p quarantine/00000001-a/dir quarantine/00000002-b;"
			     " echo >quarantine/00000001-a/x; echo >quarantine/00000001-a/dir/y");
		if (n < 4)
			fail_in(n % 2 ? "quarantine/00000001-a" : "quarantine/00000001-a/dir", n / 2);
		else
			unlistable = 0;
		o.upper_fd = open(db_help_subdir(U), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ul_upper_dir_init(&u, &o, &f->report, &err);
		r = ul_quarantine_empty(&u, &limits);
		ul_upper_dir_close(&u);
		close(o.upper_fd);
		assert_int_equal(r, 0);
		upper_run(U, n < 4 ? "test \"$(ls quarantine)\" = 00000002-b" : "test $(ls quarantine | wc -l) = 2");
	}
}

/* Where the runs cannot be listed none goes, and the reason is told. */
static void runs_are_not_emptied(void **state)
{
	const struct ul_quarantine_limits limits = {.extent = UL_QUARANTINE_ALL};
	struct upper_fixture *f = *state;

	for (unsigned int n = 0; n < 4; n++) {
		struct ul_reconcile_options o = {.upper_path = U};
		struct ul_error err = {0};
		struct ul_upper_dir u;
		int r;

		upper_run(U, "rm -rf quarantine; mkdir -p quarantine/00000001-a quarantine/00000002-b");
		fail_in("quarantine", n);
		o.upper_fd = open(db_help_subdir(U), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ul_upper_dir_init(&u, &o, &f->report, &err);
		r = ul_quarantine_empty(&u, &limits);
		ul_upper_dir_close(&u);
		close(o.upper_fd);
		assert_int_equal(r, -UL_E_UPPER);
		assert_string_equal(err.object, "quarantine");
		assert_int_equal(err.errnum, EIO);
		upper_run(U, "test $(ls quarantine | wc -l) = 2");
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(error_and_end),
		TEST(run_gets_no_number),
		TEST(size_is_not_nothing),
		TEST(runs_are_not_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
