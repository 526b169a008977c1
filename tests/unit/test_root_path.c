/* A manifest taken into a builder, and the path that refers to all top-level ones. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/file.h"
#include "dbgen/manifest/root_path.h"
#include "dbgen/manifest/roots.h"
#include "dbgen/store/nar.h"
#include "tests/unit/random_store.h"

/* A random store's manifest over *bytes. */
static struct ul_manifest *make(uint64_t seed, size_t n, struct ul_buffer *bytes)
{
	static const struct random_store_options odd = {
		.signed_share = 60, .drv_share = 30, .mean_refs = 5, .realisations = 20, .odd_share = 20};
	struct random_store *s = random_store_new(seed, n, &odd);
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_manifest *m = NULL;

	assert_true(s && b);
	assert_int_equal(random_store_fill(s, b, NULL), 0);
	assert_int_equal(ul_builder_finish(b, bytes, NULL), 0);
	assert_int_equal(ul_manifest_open_memory(bytes->data, bytes->len, &m, NULL), 0);
	ul_builder_free(b);
	random_store_free(s);
	return m;
}

/* What was written of a manifest is that manifest, over several batches too. */
static void taken_whole(void **state)
{
	static const size_t sizes[] = {1, 20, 5000, 9000};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(sizes); i++) {
		ul_autobuffer struct ul_buffer one = {0}, two = {0};
		struct ul_manifest *m = make(i, sizes[i], &one);
		struct ul_builder *b = ul_builder_new("/nix/store");

		assert_int_equal(ul_builder_add_manifest(b, m, NULL), 0);
		assert_int_equal(ul_builder_finish(b, &two, NULL), 0);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.data, two.data, one.len);
		ul_builder_free(b);
		ul_manifest_close(m);
	}
}

static void assert_only_root(struct ul_manifest *m, const char *base)
{
	ul_autobuffer struct ul_buffer list = {0};

	assert_int_equal(ul_roots_list(m, &list, NULL), 0);
	assert_int_equal(ul_buffer_append(&list, "", 1), 0);
	assert_int_equal(list.len, strlen(base) + 2);
	assert_memory_equal(list.data, base, strlen(base));
}

/* One path more, the only one that nothing refers to; and with it, none is needed. */
static void one_root(void **state)
{
	ul_autobuffer struct ul_buffer bytes = {0}, more = {0}, none = {0};
	struct ul_manifest *m = make(7, 5000, &bytes), *with = NULL, *again = NULL;
	char base[UL_BASE_NAME_MAX + 1], same[UL_BASE_NAME_MAX + 1];

	(void)state;
	assert_int_equal(ul_root_path_add(m, &more, &with, base, NULL), 0);
	assert_non_null(with);
	assert_int_equal(ul_manifest_n_paths(with), 5001);
	assert_string_equal(base + UL_HASH_DIGITS, "-" UL_ROOT_PATH_NAME);
	assert_only_root(with, base);
	assert_int_equal(ul_root_path_add(with, &none, &again, same, NULL), 0);
	assert_null(again);
	assert_string_equal(base, same);
	ul_manifest_close(with);
	ul_manifest_close(m);
}

static void no_paths(void **state)
{
	ul_autobuffer struct ul_buffer bytes = {0}, none = {0};
	struct ul_manifest *m = make(7, 0, &bytes), *with = NULL;
	char base[UL_BASE_NAME_MAX + 1];

	(void)state;
	assert_int_equal(ul_root_path_add(m, &none, &with, base, NULL), 0);
	assert_null(with);
	assert_string_equal(base, "");
	ul_manifest_close(m);
}

/* The hash of its row is that of the file which an image is given. */
static void nar_hash(void **state)
{
	ul_autobuffer struct ul_buffer bytes = {0}, more = {0};
	struct ul_manifest *m = make(3, 100, &bytes), *with = NULL;
	char base[UL_BASE_NAME_MAX + 1], path[] = "/tmp/root-path.XXXXXX";
	struct ul_batch_reader *reader;
	struct ul_batch batch;
	uint32_t number = 0;
	uint8_t hash[32];
	uint64_t size;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && ul_write_full(fd, UL_ROOT_PATH_CONTENTS, strlen(UL_ROOT_PATH_CONTENTS)) == 0);
	close(fd);
	assert_int_equal(ul_nar_hash(AT_FDCWD, path, hash, &size, NULL), 0);
	unlink(path);
	assert_int_equal(ul_root_path_add(m, &more, &with, base, NULL), 0);
	assert_int_equal(ul_manifest_find(with, base, &number, NULL), 1);
	reader = ul_batch_reader_new(with);
	assert_int_equal(ul_manifest_read_batch(reader, 0, UL_COL_ALL, &batch, NULL), 0);
	assert_memory_equal(batch.nar_hash + (size_t)number * UL_NAR_HASH_SIZE, hash, sizeof(hash));
	assert_int_equal(batch.nar_size[number], size);
	ul_batch_reader_free(reader);
	ul_manifest_close(with);
	ul_manifest_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(taken_whole), cmocka_unit_test(one_root),
					   cmocka_unit_test(no_paths), cmocka_unit_test(nar_hash)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
