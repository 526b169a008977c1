/* Copies of trees that users write in: what passes a bound is left out, and named. As root. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "initrd/upper/copy.h"
#include "tests/unit/layers_help.h"

static const struct ul_copy_first first[] = {
	{.parent = "", .name = "nix"},
	{.parent = "nix", .name = "db", .whole = true},
	{.parent = "nix", .name = "profiles"},
	{.parent = "nix", .name = "gcroots"},
};

static struct ul_error err;

/* "var" to "new", with few files open. */
static struct ul_copy copies(uint64_t most)
{
	struct ul_copy c = {
		.what = "copying", .err = &err, .most = most, .first = first, .n_first = UL_ARRAY_SIZE(first)};
	struct rlimit was, few;
	int r;

	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 60;
	setrlimit(RLIMIT_NOFILE, &few);
	r = ul_copy_tree(&c, AT_FDCWD, "var", "new");
	setrlimit(RLIMIT_NOFILE, &was);
	if (r != 0)
		fail_msg("%s: %s", err.object, err.why);
	return c;
}

static void test_whole(void **state)
{
	struct ul_copy c;

	(void)state;
	layers_deep("var/nix/profiles/per-user/user", 700, "d");
	layers_run(
		"mkdir -p var/nix/db var/log && echo x >var/nix/db/db.sqlite && ln -s /nowhere var/nix/profiles/system && "
		"chmod 2750 var/log && chown 7:8 var/log && touch -d @5 var/log");
	c = copies(UL_COPY_ENTRIES);
	assert_int_equal(c.n_left_out, 0);
	assert_false(c.full);
	layers_run("diff -r --no-dereference var new");
	layers_print("stat -c '%a %u:%g %Y' new/log; find var | wc -l", "2750 7:8 5\n1409\n");
	assert_true(c.entries > 1400);
	ul_copy_free(&c);
}

static void test_deep(void **state)
{
	struct ul_copy c;

	(void)state;
	layers_deep("var/log", 3000, "d");
	layers_run("ln -s x var/log/link && mkdir var/other");
	c = copies(UL_COPY_ENTRIES);
	assert_int_equal(c.n_left_out, 1);
	assert_true(strncmp(c.left_out.at[0], "log/d/d/d/d/", 12) == 0);
	assert_non_null(strstr(c.left_out.at[0], ": it lies deeper than any path"));
	layers_print("find new -type d | wc -l; cat new/other/x new/log/link 2>/dev/null; readlink new/log/link",
		     "2050\nx\n");
	ul_copy_free(&c);
}

/* The database is whole, whatever else there is; each user has a share, and none takes that of the rest. */
static void test_too_many(void **state)
{
	struct ul_copy c;

	(void)state;
	layers_run(
		"mkdir -p var/nix/db var/nix/profiles/per-user/a var/nix/profiles/per-user/b var/nix/gcroots/auto var/log && "
		"(cd var/nix/db && seq 300 | xargs touch) && (cd var/nix/profiles/per-user/a && seq 5000 | xargs touch) && "
		"touch var/nix/profiles/per-user/b/mine var/nix/profiles/system var/nix/gcroots/auto/root var/log/x");
	c = copies(1000);
	layers_run(
		"cmp new/log/x var/log/x && ls new/nix/profiles/system new/nix/gcroots/auto/root new/nix/profiles/per-user/b/mine "
		">list && [ \"$(ls new/nix/db | wc -l)\" = 300 ] && n=$(ls new/nix/profiles/per-user/a | wc -l) && [ $n -gt 150 ] "
		"&& [ $n -lt 360 ]");
	assert_int_equal(c.n_left_out, 1);
	assert_string_equal(c.left_out.at[0], "nix/profiles/per-user/a: it holds too many entries: not all are there");
	ul_copy_free(&c);
	/* Where nothing is left for it, the database is whole all the same. */
	layers_run("rm -r new");
	c = copies(1);
	layers_run("[ \"$(ls new/nix/db | wc -l)\" = 300 ] && [ ! -e new/log/x ]");
	assert_true(c.n_left_out > 0);
	ul_copy_free(&c);
}

/* A name may be anything: what is told of it is not. */
static void test_told(void **state)
{
	struct ul_copy c;

	(void)state;
	layers_run(
		"for i in $(seq 30); do mkdir -p \"$(printf 'var/log/x\\n\\033%d' $i)\"; done && touch var/log/file");
	c = copies(10);
	assert_true(c.n_left_out >= 1 && c.left_out.n <= UL_COPY_TOLD);
	for (size_t i = 0; i < c.left_out.n; i++)
		assert_null(strpbrk(c.left_out.at[i], "\n\033"));
	ul_copy_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_deep, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_too_many, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_told, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
