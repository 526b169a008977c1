/* Checking a store: findings, their order, and what is no finding but a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/manifest/check.h"
#include "dbgen/store/nar.h"

#define N 200

static char dir[] = "/tmp/underlay-check-XXXXXX";
static int store = -1;
static struct ul_buffer file;
static struct ul_manifest *manifest;

/* Path i of the store; the numbers are not in path order. */
static const char *name_of(int i)
{
	static char names[4][64];
	static int next;
	char *name = names[next++ % 4];

	snprintf(name, 64, "%032d-path%d", i * 7919 % 1000, i);
	return name;
}

static int setup(void **state)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_error err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	store = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < N; i++) {
		struct ul_path_info info = {0};
		char path[128], text[512];

		memset(text, 'x', sizeof(text));
		assert_int_equal(ul_write_file(store, name_of(i), 0644, text, (size_t)(i % 500)), 0);
		assert_int_equal(ul_nar_hash(store, name_of(i), info.nar_hash, &info.nar_size, &err), 0);
		/* Some of whose size nothing is known: the hash alone decides. */
		if (i % 10 == 0)
			info.nar_size = 0;
		snprintf(path, sizeof(path), "/nix/store/%s", name_of(i));
		info.path = path;
		assert_int_equal(ul_builder_add(b, &info, &err), 0);
	}
	assert_int_equal(ul_builder_finish(b, &file, &err), 0);
	ul_builder_free(b);
	return ul_manifest_open_memory(file.data, file.len, &manifest, &err);
}

static int teardown(void **state)
{
	(void)state;
	ul_manifest_close(manifest);
	ul_buffer_free(&file);
	close(store);
	return ul_remove_tree(AT_FDCWD, dir);
}

/* What was found, as lines. */
static void note(void *user, enum ul_check_finding kind, const char *path, const char *detail)
{
	assert_true(detail[0] != '\0');
	ul_buffer_printf(user, "%d %s\n", (int)kind, path);
}

static struct ul_check_result check(unsigned int threads, bool ignore_extra, struct ul_buffer *found)
{
	struct ul_check_options options = {
		.threads = threads, .ignore_extra = ignore_extra, .found = note, .user = found};
	struct ul_check_result result;
	struct ul_error err;

	found->len = 0;
	assert_int_equal(ul_store_check(manifest, store, &options, &result, &err), 0);
	assert_int_equal(result.paths, N);
	return result;
}

static void clean(void **state)
{
	struct ul_buffer found = {0};

	(void)state;
	for (unsigned int threads = 0; threads < 5; threads++) {
		struct ul_check_result r = check(threads, false, &found);

		assert_int_equal(r.bad + r.missing + r.extra, 0);
		assert_true(r.bytes > N * 112);
		assert_int_equal(found.len, 0);
	}
	ul_buffer_free(&found);
}

static void damaged(void **state)
{
	struct ul_buffer one = {0}, many = {0};
	struct ul_check_result r;
	char first[256];

	(void)state;
	assert_int_equal(ul_write_file(store, name_of(10), 0644, "other text", 10), 0);
	assert_int_equal(ul_write_file(store, name_of(11), 0644, "other text", 10), 0);
	assert_int_equal(fchmodat(store, name_of(12), 0755, 0), 0);
	assert_int_equal(unlinkat(store, name_of(13), 0), 0);
	assert_int_equal(unlinkat(store, name_of(14), 0), 0);
	assert_int_equal(mkdirat(store, name_of(14), 0755), 0);
	assert_int_equal(ul_write_file(store, "0-first", 0644, "", 0), 0);
	assert_int_equal(ul_write_file(store, "zz-last", 0644, "", 0), 0);
	r = check(1, false, &one);
	assert_int_equal(r.bad, 4);
	assert_int_equal(r.missing, 1);
	assert_int_equal(r.extra, 2);
	snprintf(first, sizeof(first), "%d /nix/store/0-first\n", UL_CHECK_EXTRA);
	assert_memory_equal(one.data, first, strlen(first));
	/* The lines come sorted by path, whatever the number of threads. */
	for (char *line = strchr(ul_buffer_string(&one), '/'), *last = NULL; line;
	     last = line, line = strchr(strchr(line, '\n'), '/'))
		assert_true(!last || strncmp(last, line, 44) < 0);
	for (unsigned int threads = 2; threads < 6; threads++) {
		check(threads, false, &many);
		assert_int_equal(many.len, one.len);
		assert_memory_equal(many.data, one.data, one.len);
	}
	r = check(2, true, &many);
	assert_int_equal(r.bad + r.missing, 5);
	assert_int_equal(r.extra, 0);
	assert_null(strstr(ul_buffer_string(&many), "zz-last"));
	ul_buffer_free(&one);
	ul_buffer_free(&many);
}

static void empty_store(void **state)
{
	ul_autoclose int empty = -1;
	struct ul_check_options options = {0};
	struct ul_check_result result;
	struct ul_error err;

	(void)state;
	assert_int_equal(mkdirat(store, ".empty", 0755), 0);
	empty = openat(store, ".empty", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ul_store_check(manifest, empty, &options, &result, &err), 0);
	assert_int_equal(result.missing, N);
	assert_int_equal(result.bytes, 0);
	unlinkat(store, ".empty", AT_REMOVEDIR);
}

/* A directory that is none of ours to list or search is no damaged store. */
static void not_a_directory(void **state)
{
	ul_autoclose int plain = openat(store, name_of(1), O_RDONLY | O_CLOEXEC);
	struct ul_check_options options = {0};
	struct ul_check_result result = {.paths = 77};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_store_check(manifest, plain, &options, &result, &err), -UL_E_SYSTEM);
	assert_int_equal(result.paths, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),
		cmocka_unit_test(damaged),
		cmocka_unit_test(empty_store),
		cmocka_unit_test(not_a_directory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
