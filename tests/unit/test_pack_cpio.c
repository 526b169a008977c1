/* The archive: its bytes, its order, and the paths and conflicts that it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "initrd/pack/cpio.h"

static int add(struct ul_cpio *c, const char *path, const char *text, struct ul_error *err)
{
	return ul_cpio_add_file(c, &(struct ul_cpio_file){path, 0644, text, strlen(text), UL_CPIO_ADDED, text}, err);
}

/* The whole archive of one file, written out by hand from the format's description. */
static const char known_archive[] = "070701"
				    "00000001"
				    "000041ed"
				    "00000000"
				    "00000000"
				    "00000002"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000002"
				    "00000000"
				    "a\0"
				    "070701"
				    "00000002"
				    "000081a4"
				    "00000000"
				    "00000000"
				    "00000001"
				    "00000000"
				    "00000005"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000004"
				    "00000000"
				    "a/b\0\0\0"
				    "hello\0\0\0"
				    "070701"
				    "00000003"
				    "00002180"
				    "00000000"
				    "00000000"
				    "00000001"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000005"
				    "00000001"
				    "00000002"
				    "00000000"
				    "c\0"
				    "070701"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000001"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "00000000"
				    "0000000b"
				    "00000000"
				    "TRAILER!!!\0\0\0";

static void known_bytes(void **state)
{
	ul_autobuffer struct ul_buffer out = {0};
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_cpio_add_node(&c, "/c", 0600, 5, 1, &err), 0);
	assert_int_equal(add(&c, "/a/b", "hello", &err), 0);
	assert_int_equal(ul_cpio_write(&c, &out, &err), 0);
	assert_int_equal(out.len % 512, 0);
	assert_memory_equal(out.data, known_archive, sizeof(known_archive) - 1);
	for (size_t i = sizeof(known_archive) - 1; i < out.len; i++)
		assert_int_equal(out.data[i], 0);
}

static void order_of_adding_is_nothing(void **state)
{
	static const char *const paths[] = {"/b/a", "/b-c", "/a", "/b/a.d/e", "/z", "/b/a-"};
	ul_autobuffer struct ul_buffer first = {0}, second = {0};
	ul_autocpio struct ul_cpio one = {0}, two = {0};
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(add(&one, paths[i], "x", &err), 0);
		assert_int_equal(add(&two, paths[5 - i], "x", &err), 0);
	}
	assert_int_equal(ul_cpio_write(&one, &first, &err), 0);
	assert_int_equal(ul_cpio_write(&two, &second, &err), 0);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	/* A directory comes before what it holds. */
	for (size_t i = 0; i < one.entries.n; i++) {
		char parent[64];

		strcpy(parent, one.entries.at[i].path);
		if (strrchr(parent, '/')) {
			*strrchr(parent, '/') = '\0';
			bool seen = false;

			for (size_t k = 0; k < i; k++)
				seen |= !strcmp(one.entries.at[k].path, parent) && S_ISDIR(one.entries.at[k].mode);
			assert_true(seen);
		}
	}
}

static void refuses_paths(void **state)
{
	static const char *const paths[] = {"", "/", "a", "/a/../b", "/a/./b", "/a//b", "/a/", "/..", "/.", "../a"};
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(paths); i++) {
		assert_int_equal(add(&c, paths[i], "x", &err), -UL_E_USAGE);
		assert_int_equal(c.entries.n, 0);
	}
	assert_int_equal(add(&c, "/..a/b..", "x", &err), 0);
}

static void refuses_conflicts(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(add(&c, "/etc/x", "one", &err), 0);
	assert_int_equal(add(&c, "/etc/x", "one", &err), 0);
	assert_int_equal(ul_cpio_add_dir(&c, "/etc", 0755, &err), 0);
	assert_int_equal(c.entries.n, 2);
	assert_int_equal(add(&c, "/etc/x", "two", &err), -UL_E_EXISTS);
	assert_string_equal(err.object, "two");
	assert_string_equal(err.why, "/etc/x is taken by one");
	/* A file where a directory is, and below a file. */
	assert_int_equal(add(&c, "/etc", "x", &err), -UL_E_EXISTS);
	assert_int_equal(add(&c, "/etc/x/y", "x", &err), -UL_E_EXISTS);
	assert_int_equal(c.entries.n, 2);
}

static void refuses_giants(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	/* The length alone must decide: nothing of that size exists here. */
	assert_int_equal(ul_cpio_add_file(&c,
					  &(struct ul_cpio_file){"/a", 0644, "", (size_t)UL_CPIO_FILE_MAX + 1,
								 UL_CPIO_ADDED, "a"},
					  &err),
			 -UL_E_INPUT);
	assert_int_equal(c.entries.n, 0);
}

static void finds(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(add(&c, "/a/b", "hello", &err), 0);
	assert_int_equal(ul_cpio_find(&c, "/a/b")->len, 5);
	assert_non_null(ul_cpio_find(&c, "/a"));
	assert_null(ul_cpio_find(&c, "/a/c"));
	assert_null(ul_cpio_find(&c, "a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes),    cmocka_unit_test(order_of_adding_is_nothing),
		cmocka_unit_test(refuses_paths),  cmocka_unit_test(refuses_conflicts),
		cmocka_unit_test(refuses_giants), cmocka_unit_test(finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
