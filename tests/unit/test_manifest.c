/* The manifest against the store it was made from: every column of every path, and each table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/compare.h"
#include "common/buffer.h"
#include "common/encoding.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/store/store_path.h"
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
	return strcmp(((const struct ul_path_info *)a)->path, ((const struct ul_path_info *)b)->path);
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
	qsort(refs, p->n_refs, sizeof(*refs), ul_compare_texts);
	for (size_t k = 0; k < p->n_refs; k++) {
		if (k > 0 && !strcmp(refs[k], refs[k - 1]))
			continue;
		assert_true(at < b->ref_off[i + 1]);
		assert_string_equal(sorted[b->refs[at++]].path, refs[k]);
	}
	assert_int_equal(at, b->ref_off[i + 1]);
	free(refs);
}

static void assert_path(const struct ul_batch *b, uint32_t i, const char *store_dir, const struct ul_path_info *sorted)
{
	const struct ul_path_info *p = &sorted[b->first + i];
	const char *deriver = p->deriver;
	char path[UL_STORE_PATH_SIZE];

	ul_store_path_text(store_dir, b, i, path);
	assert_string_equal(path, p->path);
	assert_memory_equal(b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, p->nar_hash, UL_NAR_HASH_SIZE);
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

static struct ul_manifest *make(size_t n, struct random_store **ret_store, struct ul_buffer *file)
{
	struct random_store *s = random_store_new(99, n, &odd);
	struct ul_manifest *m;

	assert_non_null(s);
	build(s, file);
	assert_int_equal(ul_manifest_open_memory(file->data, file->len, &m, NULL), 0);
	*ret_store = s;
	return m;
}

/* A path's number by the interface that is tested elsewhere. */
static uint32_t number_of(struct ul_manifest *m, const char *path)
{
	uint32_t number = UINT32_MAX;

	assert_int_equal(ul_manifest_find(m, strrchr(path, '/') + 1, &number, NULL), 1);
	return number;
}

static void tables(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	const struct ul_drv_output *outputs;
	const struct ul_realisation *rows;
	struct random_store *s;
	struct ul_manifest *m = make(6000, &s, &file);
	uint32_t n, found = 0;

	(void)state;
	assert_int_equal(ul_manifest_drv_outputs(m, &outputs, &n, NULL), 0);
	assert_int_equal(n, s->n_outputs);
	for (uint32_t i = 0; i < n; i++)
		if (i > 0)
			assert_true(outputs[i].drv > outputs[i - 1].drv ||
				    strcmp(outputs[i].id, outputs[i - 1].id) > 0);
	for (size_t k = 0; k < s->n_outputs; k++)
		for (uint32_t i = 0, drv = number_of(m, s->outputs[k].drv); i < n; i++)
			found += outputs[i].drv == drv && !strcmp(outputs[i].id, s->outputs[k].id) &&
				 !strcmp(outputs[i].path, s->outputs[k].path);
	assert_int_equal(found, n);
	assert_int_equal(ul_manifest_realisations(m, &rows, &n, NULL), 0);
	assert_int_equal(n, s->n_realisations);
	for (size_t k = 0; k < s->n_realisations; k++) {
		const struct random_store_realisation *x = &s->realisations[k], *to = &s->realisations[x->ref];
		uint32_t i = 0;

		while (strcmp(rows[i].drv_path, x->drv_path) != 0)
			assert_true(++i < n);
		assert_string_equal(rows[i].output_name, x->output_name);
		assert_int_equal(rows[i].output, number_of(m, x->output_path));
		assert_int_equal(!rows[i].signatures, !x->signatures);
		if (x->signatures)
			assert_string_equal(rows[i].signatures, x->signatures);
		assert_int_equal(rows[i].n_refs, x->ref != k);
		if (x->ref != k)
			assert_string_equal(rows[rows[i].refs[0]].drv_path, to->drv_path);
	}
	ul_manifest_close(m);
	random_store_free(s);
}

static void find(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct random_store *s;
	struct ul_manifest *m = make(9000, &s, &file);
	struct ul_path_info *sorted = calloc(s->n, sizeof(*sorted));
	char base[UL_BASE_NAME_MAX + 2];
	uint32_t number;

	(void)state;
	assert_non_null(sorted);
	memcpy(sorted, s->paths, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), by_path);
	for (size_t i = 0; i < s->n; i += 7)
		assert_int_equal(number_of(m, sorted[i].path), i);
	/* The same digest with another name is another path. */
	snprintf(base, sizeof(base), "%.*s-other", UL_HASH_DIGITS, ul_store_base_of(s->store_dir, sorted[5].path));
	assert_int_equal(ul_manifest_find(m, base, &number, NULL), 0);
	assert_int_equal(ul_manifest_find(m, "00000000000000000000000000000000-x", &number, NULL), 0);
	assert_int_equal(ul_manifest_find(m, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-x", &number, NULL), 0);
	assert_int_equal(ul_manifest_find(m, ".links", &number, NULL), 0);
	assert_int_equal(ul_manifest_find(m, "", &number, NULL), 0);
	free(sorted);
	ul_manifest_close(m);
	random_store_free(s);
}

/* The same bytes in whatever order the paths come, also if some come twice. */
static void deterministic(void **state)
{
	struct random_store *s = random_store_new(3, 5000, &odd);
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer one = {0}, two = {0};

	(void)state;
	assert_true(s && b);
	build(s, &one);
	for (size_t i = s->n; i-- > 0;)
		assert_int_equal(ul_builder_add(b, &s->paths[i], NULL), 0);
	assert_int_equal(random_store_fill(s, b, NULL), 0);
	assert_int_equal(ul_builder_finish(b, &two, NULL), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	ul_builder_free(b);
	random_store_free(s);
}

#define P(name) "/nix/store/11111111111111111111111111111111-" name

/* 5000 paths of one digest, so also on both sides of a batch's end: ordered by name. */
static void one_digest(void **state)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	char path[96];

	(void)state;
	assert_non_null(b);
	for (unsigned int i = 5000; i-- > 0;) {
		struct ul_path_info info = {.path = path};

		snprintf(path, sizeof(path), P("p%04u"), i);
		assert_int_equal(ul_builder_add(b, &info, NULL), 0);
	}
	assert_int_equal(ul_builder_finish(b, &file, NULL), 0);
	assert_int_equal(ul_manifest_open_memory(file.data, file.len, &m, NULL), 0);
	assert_int_equal(ul_manifest_count(m, &totals, NULL), 0);
	assert_int_equal(number_of(m, P("p4095")), 4095);
	assert_int_equal(number_of(m, P("p4096")), 4096);
	ul_manifest_close(m);
	ul_builder_free(b);
}

static int add(struct ul_builder *b, const char *path, const char *ref, struct ul_error *err)
{
	struct ul_path_info info = {.path = path, .refs = &ref, .n_refs = ref ? 1 : 0};

	return ul_builder_add(b, &info, err);
}

static void restricted(void **state)
{
	static const char *const roots[] = {P("top")};
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	const struct ul_drv_output *outputs;
	const struct ul_realisation *realisations;
	struct ul_manifest *m;
	uint32_t n;

	(void)state;
	assert_non_null(b);
	assert_int_equal(ul_builder_restrict(b, roots, 1, NULL), 0);
	assert_int_equal(add(b, P("top"), P("middle"), NULL), 0);
	assert_int_equal(add(b, P("middle"), P("low"), NULL), 0);
	assert_int_equal(add(b, P("low"), P("low"), NULL), 0);
	/* Outside the closure nothing matters, not even a dangling reference. */
	assert_int_equal(add(b, P("other"), P("dangling"), NULL), 0);
	assert_int_equal(ul_builder_add_drv_output(b, P("other"), "out", P("x"), NULL), 0);
	assert_int_equal(ul_builder_add_drv_output(b, P("low"), "out", P("x"), NULL), 0);
	assert_int_equal(ul_builder_add_realisation(b, "sha256:a", "out", P("low"), NULL, NULL), 0);
	assert_int_equal(ul_builder_add_realisation(b, "sha256:b", "out", P("other"), NULL, NULL), 0);
	assert_int_equal(ul_builder_add_realisation_ref(b, "sha256:a", "out", "sha256:b", "out", NULL), 0);
	assert_int_equal(ul_builder_finish(b, &file, NULL), 0);
	assert_int_equal(ul_manifest_open_memory(file.data, file.len, &m, NULL), 0);
	assert_int_equal(ul_manifest_n_paths(m), 3);
	assert_int_equal(ul_manifest_n_refs(m), 3);
	assert_int_equal(ul_manifest_drv_outputs(m, &outputs, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ul_manifest_realisations(m, &realisations, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(realisations[0].n_refs, 0);
	ul_manifest_close(m);
	ul_builder_free(b);
}

/* What the builder refuses only when all is known. */
static void dangling(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err = {0};
	struct ul_builder *b = ul_builder_new("/nix/store");

	(void)state;
	assert_non_null(b);
	assert_int_equal(add(b, P("a"), NULL, NULL), 0);
	assert_int_equal(ul_builder_add_drv_output(b, P("absent"), "out", P("x"), NULL), 0);
	assert_int_equal(ul_builder_finish(b, &file, &err), -UL_E_INPUT);
	assert_string_equal(err.object, P("absent"));
	ul_builder_free(b);
	b = ul_builder_new("/nix/store");
	assert_non_null(b);
	assert_int_equal(add(b, P("a"), P("b"), NULL), 0);
	assert_int_equal(ul_builder_finish(b, &file, &err), -UL_E_INPUT);
	assert_string_equal(err.object, P("a"));
	assert_string_equal(err.why, "it refers to " P("b") ", which is not given");
	assert_null(file.data);
	ul_builder_free(b);
}

/* Values of the xxHash specification's reference program. */
static void checksum(void **state)
{
	(void)state;
	assert_true(ul_checksum("", 0) == 0xef46db3751d8e999ULL);
	assert_true(ul_checksum("abc", 3) == 0x44bc2cf5ad770999ULL);
	assert_true(ul_checksum("Nobody inspects the spammish repetition", 39) == 0xfbcea83c8a378bf1ULL);
}

/* The worked record of dbgen/manifest/format.h, byte for byte: the format cannot drift unseen. */
static void worked_record(void **state)
{
	static const char hex[] = "554c4d414e49460a010000007800000002000000010000000200000000000000a801000000000000"
				  "0000000000000000000000000000000099e9d85137db46ef000000000000000099e9d85137db46ef"
				  "cac3fcbc1edba4180a00000000000000f9ca3f6a5b15aedb2f6e69782f73746f7265000000000000"
				  "020000000000000028000000280000008e202017921144b840000000400000008c0d214b8ed169a0"
				  "030000000300000066b81a6a570690510c0000000c0000008323b8219a1cb8ca1400000014000000"
				  "6efa4fb346e54513000000000000000099e9d85137db46ef190000001900000064eb31e8a36fe47c"
				  "0400000004000000ca9e9dc3bc0c46e5000000000000000000000000000000000000002008000000"
				  "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
				  "00000000000000110000000000000000000000000000000000000000000000000000000000000022"
				  "0f800403076c69626170702d312e3018000000000000000000000000000000000000000000000000"
				  "0000000100070000010000000006746578743a7800020000";
	static const char lib[] = "/nix/store/00000000000000000000000000000010-lib",
			  app[] = "/nix/store/10000000000000000000000000000000-app-1.0";
	static const char *const refs[] = {app, lib};
	struct ul_path_info info = {.path = lib, .nar_size = 120};
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	uint8_t expected[sizeof(hex) / 2];

	(void)state;
	assert_non_null(b);
	assert_true(ul_hex_decode(hex, sizeof(hex) - 1, expected, sizeof(expected)));
	info.nar_hash[31] = 0x11;
	assert_int_equal(ul_builder_add(b, &info, NULL), 0);
	info = (struct ul_path_info){.path = app,
				     .nar_size = 4096,
				     .registered = 7,
				     .deriver = "/nix/store/30000000000000000000000000000000-app-1.0.drv",
				     .ca = "text:x",
				     .refs = refs,
				     .n_refs = 2};
	info.nar_hash[31] = 0x22;
	assert_int_equal(ul_builder_add(b, &info, NULL), 0);
	assert_int_equal(ul_builder_finish(b, &file, NULL), 0);
	assert_int_equal(file.len, sizeof(expected));
	assert_memory_equal(file.data, expected, sizeof(expected));
	ul_builder_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),    cmocka_unit_test(tables),     cmocka_unit_test(find),
		cmocka_unit_test(deterministic), cmocka_unit_test(one_digest), cmocka_unit_test(restricted),
		cmocka_unit_test(dangling),      cmocka_unit_test(checksum),   cmocka_unit_test(worked_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
