/* The manifest against the store it was made from: every column of every path, and each table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "dbgen/checksum.h"
#include "dbgen/manifest.h"
#include "dbgen/store_path.h"
#include "tests/unit/random_store.h"

static const struct random_store_options odd = {
	.signed_share = 60, .drv_share = 10, .mean_refs = 5, .realisations = 50, .odd_share = 20};

static void build(const struct random_store *s, struct ul_buffer *ret)
{
	struct ul_builder *b = ul_builder_new(s->store_dir);
	struct ul_error err = {0};

	assert_non_null(b);
	if (random_store_fill(s, b, &err) < 0 || ul_builder_finish(b, ret, &err) < 0)
		fail_msg("%s: %s: %s", err.what, err.object, err.why);
	ul_builder_free(b);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct ul_path_info *)a)->path,
		      ((const struct ul_path_info *)b)->path);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_text(const struct ul_text_column *c, uint32_t i, const char *expected)
{
	size_t len = c->off[i + 1] - c->off[i];

	expected = expected ? expected : "";
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(c->bytes + c->off[i], expected, len);
}

static void assert_refs(const struct ul_batch *b, uint32_t i, const struct ul_path_info *sorted,
			const struct ul_path_info *p)
{
	const char **refs = calloc(p->n_refs + 1, sizeof(*refs));
	uint64_t at = b->ref_off[i];

	assert_non_null(refs);
	memcpy(refs, p->refs, p->n_refs * sizeof(*refs));
	qsort(refs, p->n_refs, sizeof(*refs), by_text);
	for (size_t k = 0; k < p->n_refs; k++) {
		if (k > 0 && !strcmp(refs[k], refs[k - 1]))
			continue;
		assert_true(at < b->ref_off[i + 1]);
		assert_string_equal(sorted[b->refs[at++]].path, refs[k]);
	}
	assert_int_equal(at, b->ref_off[i + 1]);
	free(refs);
}

static void assert_path(const struct ul_batch *b, uint32_t i, const char *store_dir,
			const struct ul_path_info *sorted)
{
	const struct ul_path_info *p = &sorted[b->first + i];
	const char *deriver = p->deriver;
	char path[UL_STORE_PATH_SIZE];

	ul_store_path_text(store_dir, b, i, path);
	assert_string_equal(path, p->path);
	assert_memory_equal(b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, p->nar_hash,
			    UL_NAR_HASH_SIZE);
	assert_int_equal(b->nar_size[i], p->nar_size);
	assert_int_equal(b->registered[i], p->registered);
	assert_int_equal(b->ultimate[i], p->ultimate);
	if (deriver && ul_store_base_of(store_dir, deriver))
		deriver = ul_store_base_of(store_dir, deriver);
	assert_text(&b->deriver, i, deriver);
	assert_text(&b->sigs, i, p->sigs);
	assert_text(&b->ca, i, p->ca);
	assert_refs(b, i, sorted, p);
}

static void assert_store(struct ul_manifest *m, const struct random_store *s)
{
	struct ul_path_info *sorted = calloc(s->n + 1, sizeof(*sorted));
	struct ul_batch_reader *r = ul_batch_reader_new(m);
	struct ul_batch b = {0};
	uint64_t refs = 0;
	uint32_t paths = 0;

	assert_non_null(sorted);
	assert_non_null(r);
	memcpy(sorted, s->paths, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), by_path);
	assert_int_equal(ul_manifest_n_paths(m), s->n);
	assert_string_equal(ul_manifest_store_dir(m), s->store_dir);
	for (uint32_t k = 0; k < ul_manifest_n_batches(m); k++) {
		assert_int_equal(ul_manifest_read_batch(r, k, UL_COL_ALL, &b, NULL), 0);
		assert_int_equal(b.first, paths);
		for (uint32_t i = 0; i < b.n; i++)
			assert_path(&b, i, s->store_dir, sorted);
		paths += b.n;
		refs += b.ref_off[b.n];
	}
	assert_int_equal(paths, s->n);
	assert_int_equal(refs, ul_manifest_n_refs(m));
	ul_batch_reader_free(r);
	free(sorted);
}

static void round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 4095, 4096, 4097, 20000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct random_store *s = random_store_new(i + 1, sizes[i], &odd);
		ul_autobuffer struct ul_buffer file = {0};
		struct ul_manifest *m;

		assert_non_null(s);
		build(s, &file);
		assert_int_equal(ul_manifest_open_memory(file.data, file.len, &m, NULL), 0);
		assert_store(m, s);
		ul_manifest_close(m);
		random_store_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
