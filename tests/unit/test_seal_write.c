/* What stands in the signature partition before and after the signing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "verity/image/seal_write.h"

static struct ul_descriptor sample(void)
{
	struct ul_descriptor d = {
		.root_hash_len = 32,
		.hash = "sha256",
		.salt = {1, 2, 3},
		.salt_len = 3,
		.data_block_size = 4096,
		.hash_block_size = 4096,
		.data_blocks = 100,
		.hash_start = 4096,
		.name = "demo",
		.version = "1.2",
		.rollback_index = 7,
		.has_manifest = 1,
	};

	memset(d.root_hash, 0xab, 32);
	return d;
}

static void draft_keeps_the_descriptor(void **state)
{
	struct ul_descriptor d = sample(), back;
	struct ul_tbs tbs, again;
	struct ul_buffer partition = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_tbs_make(&d, &tbs, &err), 0);
	assert_int_equal(strlen(tbs.root_hash), 64);
	assert_int_equal(ul_seal_draft(&tbs, &partition, &err), 0);
	assert_int_equal(partition.len, UL_SIG_PARTITION_SIZE);
	assert_int_equal(ul_tbs_read(partition.data, partition.len, "x", &again, &back, &err), 0);
	assert_string_equal(tbs.root_hash, again.root_hash);
	assert_int_equal(again.descriptor.len, tbs.descriptor.len);
	assert_memory_equal(again.descriptor.data, tbs.descriptor.data, tbs.descriptor.len);
	assert_int_equal(back.rollback_index, 7);
	ul_tbs_free(&again);
	ul_tbs_free(&tbs);
	ul_buffer_free(&partition);
}

/* Nothing that looks for a signature may take a draft for one. */
static void draft_is_no_signature(void **state)
{
	struct ul_descriptor d = sample();
	struct ul_signature_blob blob;
	struct ul_buffer partition = {0};
	struct ul_tbs tbs;
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_tbs_make(&d, &tbs, &err), 0);
	assert_int_equal(ul_seal_draft(&tbs, &partition, &err), 0);
	assert_int_equal(ul_signature_parse(partition.data, partition.len, &blob, &err), -UL_E_SIGNATURE);
	ul_tbs_free(&tbs);
	ul_buffer_free(&partition);
}

static void joins_signatures(void **state)
{
	static const uint8_t fingerprint[32] = {9, 8, 7};
	struct ul_buffer one = {0}, two = {0}, partition = {0};
	struct ul_descriptor d = sample(), back;
	struct ul_tbs tbs, again;
	struct ul_signature_blob blob;
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_tbs_make(&d, &tbs, &err), 0);
	assert_int_equal(ul_buffer_append(&one, "one", 3), 0);
	assert_int_equal(ul_buffer_append(&two, "second", 6), 0);
	assert_int_equal(ul_seal_join(&tbs, &one, &two, fingerprint, &partition, &err), 0);
	assert_int_equal(ul_signature_parse(partition.data, partition.len, &blob, &err), 0);
	assert_string_equal(blob.root_hash, tbs.root_hash);
	assert_int_equal(blob.signature.len, 3);
	assert_memory_equal(blob.descriptor_signature.data, "second", 6);
	assert_memory_equal(blob.fingerprint, fingerprint, 32);
	ul_signature_free(&blob);
	assert_int_equal(ul_tbs_read(partition.data, partition.len, "x", &again, &back, &err), 0);
	assert_memory_equal(again.descriptor.data, tbs.descriptor.data, tbs.descriptor.len);
	ul_tbs_free(&again);
	ul_tbs_free(&tbs);
	ul_buffer_free(&partition);
	ul_buffer_free(&one);
	ul_buffer_free(&two);
}

static void refuses_other_partitions(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "empty"},
		{"no json", "no JSON"},
		{"{}", "no descriptor"},
		{"{\"underlay\":{}}", "no descriptor"},
		{"{\"underlay\":\"text\"}", "no descriptor"},
		{"{\"underlay\":{\"descriptor\":\"!\"}}", "base64"},
		{"{\"underlay\":{\"descriptor\":\"eA==\"}}", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *partition = calloc(1, UL_SIG_PARTITION_SIZE);
		struct ul_descriptor d;
		struct ul_error err;
		struct ul_tbs tbs;

		assert_non_null(partition);
		strcpy(partition, cases[i].text);
		assert_int_equal(ul_tbs_read(partition, UL_SIG_PARTITION_SIZE, "x", &tbs, &d, &err), -UL_E_DESCRIPTOR);
		assert_non_null(strstr(err.why, cases[i].why));
		free(partition);
	}
}

static void refuses_signatures_too_long(void **state)
{
	static const uint8_t fingerprint[32];
	struct ul_buffer one = {0}, partition = {0};
	struct ul_descriptor d = sample();
	struct ul_error err;
	struct ul_tbs tbs;

	(void)state;
	assert_int_equal(ul_tbs_make(&d, &tbs, &err), 0);
	assert_int_equal(ul_buffer_reserve(&one, 8000), 0);
	memset(one.data, 1, 8000);
	one.len = 8000;
	assert_int_equal(ul_seal_join(&tbs, &one, &one, fingerprint, &partition, &err), -UL_E_INPUT);
	assert_null(partition.data);
	ul_tbs_free(&tbs);
	ul_buffer_free(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draft_keeps_the_descriptor),
		cmocka_unit_test(draft_is_no_signature),
		cmocka_unit_test(joins_signatures),
		cmocka_unit_test(refuses_other_partitions),
		cmocka_unit_test(refuses_signatures_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
