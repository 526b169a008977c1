/* A way down a tree with few descriptors, and trees that are removed by it. As root. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/descent.h"
#include "common/file.h"
#include "tests/unit/layers_help.h"

static int open_in(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void go_down(struct ul_descent *d, const char *top, int depth)
{
	assert_int_equal(ul_descent_enter(d, layers_dir(top)), 0);
	for (int i = 0; i < depth; i++)
		assert_int_equal(ul_descent_enter(d, open_in(ul_descent_fd(d), "d")), 0);
}

static void test_up_and_down(void **state)
{
	struct ul_descent d = {0};
	struct stat top, now;

	(void)state;
	layers_deep("tree", 100, "d");
	assert_int_equal(stat("tree", &top), 0);
	go_down(&d, "tree", 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(faccessat(ul_descent_fd(&d), "f", F_OK, 0), i == 0 ? -1 : 0);
		assert_int_equal(ul_descent_leave(&d), 0);
	}
	assert_int_equal(fstat(ul_descent_fd(&d), &now), 0);
	assert_true(now.st_ino == top.st_ino && now.st_dev == top.st_dev);
	assert_int_equal(ul_descent_leave(&d), 0);
	assert_int_equal(ul_descent_fd(&d), -1);
	ul_descent_close(&d);
}

/* Somebody moves a directory away meanwhile: what is above it now is never taken for what was. */
static void test_moved(void **state)
{
	struct ul_descent d = {0};
	int r = 0;

	(void)state;
	layers_deep("tree", 40, "d");
	layers_run("mkdir elsewhere");
	go_down(&d, "tree", 40);
	layers_run("mv tree/d/d/d elsewhere/d");
	for (int i = 0; i < 40 && r == 0; i++)
		r = ul_descent_leave(&d);
	assert_int_equal(r, -EBUSY);
	ul_descent_close(&d);
}

static void with_few_files(const char *name, int wanted)
{
	struct rlimit was, few;
	int r;

	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &few);
	r = ul_remove_tree(AT_FDCWD, name);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(r, wanted);
}

static void test_remove_deep(void **state)
{
	(void)state;
	layers_deep("tree", 3000, "d");
	layers_run(
		"cd tree/d/d && for i in 1 2 3 4 5; do mkdir -p wide/$i/x; done && touch wide/3/x/y && chmod 0 wide/4");
	with_few_files("tree", 0);
	layers_print("ls", "names\nstore\nup\n");
}

static void test_remove_never_leaves(void **state)
{
	(void)state;
	layers_run("mkdir -p outside/x tree/a/here && touch outside/x/f && ln -s ../../outside tree/a/link");
	with_few_files("tree/a/link", 0);
	layers_run("ln -s ../../outside tree/a/link");
	/* What is mounted in it stays, be it of the same filesystem. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("outside", "tree/a/here", NULL, MS_BIND, NULL), 0);
	with_few_files("tree", -EXDEV);
	layers_print("find outside", "outside\noutside/x\noutside/x/f\n");
	assert_int_equal(umount("tree/a/here"), 0);
	with_few_files("tree", 0);
	layers_print("find outside", "outside\noutside/x\noutside/x/f\n");
	with_few_files("nothing", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_up_and_down, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_moved, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_remove_deep, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_remove_never_leaves, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
