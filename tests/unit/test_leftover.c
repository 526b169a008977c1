/* What a signal must not leave behind: the list, and a program whose handler removes what it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/leftover.h"

static char dir[PATH_MAX];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_leftover.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return ul_remove_tree(AT_FDCWD, dir);
}

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_dir(name), &st) == 0;
}

static void make(const char *name)
{
	assert_int_equal(ul_write_file(AT_FDCWD, in_dir(name), 0600, "x", 1), 0);
}

static void on_signal(int number)
{
	ul_leftovers_remove();
	signal(number, SIG_DFL);
	raise(number);
}

/* A directory goes with the file in it, whichever was added first; what was dropped or never added stays. */
static void a_signal_removes_what_is_listed(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct ul_leftover *done;

		signal(SIGTERM, on_signal);
		mkdir(in_dir("sub"), 0700);
		make("sub/file");
		make("beside");
		make("done");
		make("other");
		ul_leftover_add(AT_FDCWD, in_dir("sub"));
		ul_leftover_add(fd, "sub/file");
		ul_leftover_add(fd, "beside");
		ul_leftover_add(fd, "never-made");
		done = ul_leftover_add(fd, "done");
		ul_leftover_drop(done);
		raise(SIGTERM);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_false(exists("sub"));
	assert_false(exists("beside"));
	assert_true(exists("done"));
	assert_true(exists("other"));
}

/* Nobody has to look whether there was room. */
static void a_full_list_looks_after_no_more(void **state)
{
	struct ul_leftover *all[32];
	size_t n = 0;

	(void)state;
	while (n < 32 && (all[n] = ul_leftover_add(AT_FDCWD, "/nonexistent/name")))
		n++;
	assert_true(n > 0 && n < 32);
	ul_leftover_drop(NULL);
	ul_leftover_drop(all[--n]);
	all[n] = ul_leftover_add(AT_FDCWD, "/nonexistent/name");
	assert_non_null(all[n]);
	for (size_t i = 0; i <= n; i++)
		ul_leftover_drop(all[i]);
}

/* Every write gives its place back. */
static void writing_a_file_leaves_the_list_empty(void **state)
{
	(void)state;
	for (int i = 0; i < 32; i++) {
		struct ul_leftover *free_place;

		assert_int_equal(ul_write_file_atomic(AT_FDCWD, in_dir("file"), 0600, "x", 1), 0);
		assert_int_equal(ul_write_file_atomic(AT_FDCWD, in_dir("no/file"), 0600, "x", 1), -ENOENT);
		free_place = ul_leftover_add(AT_FDCWD, "/nonexistent/name");
		assert_non_null(free_place);
		ul_leftover_drop(free_place);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_signal_removes_what_is_listed, set_up, tear_down),
		cmocka_unit_test(a_full_list_looks_after_no_more),
		cmocka_unit_test_setup_teardown(writing_a_file_leaves_the_list_empty, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
