/* The signature partition's JSON: as systemd writes it, as we do, and every defect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "verity/format/descriptor.h"
#include "verity/format/signature.h"

#define HASH "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char foreign[] =
	"{\"rootHash\":\"" HASH "\",\"certificateFingerprint\":\"" HASH "\",\"signature\":\"AAEC\"}";
static const char ours[] = "{\"rootHash\":\"" HASH "\",\"certificateFingerprint\":\"" HASH
			   "\",\"signature\":\"AAEC\",\"underlay\":{\"descriptor\":\"AwQF\",\"signature\":\"Bgc=\"}}";

static void as_systemd_writes_it(void **state)
{
	uint8_t partition[4096 * 4] = {0};
	struct ul_signature_blob blob;
	struct ul_error err;

	(void)state;
	memcpy(partition, foreign, strlen(foreign));
	assert_int_equal(ul_signature_parse(partition, sizeof(partition), &blob, &err), 0);
	assert_string_equal(blob.root_hash, HASH);
	assert_true(blob.has_fingerprint);
	assert_int_equal(blob.fingerprint[31], 31);
	assert_int_equal(blob.signature.len, 3);
	assert_memory_equal(blob.signature.data, "\0\1\2", 3);
	assert_int_equal(blob.descriptor.len, 0);
	assert_int_equal(blob.descriptor_signature.len, 0);
	ul_signature_free(&blob);
	assert_null(blob.root_hash);
	/* Without padding, and with members that a later systemd may add. */
	assert_int_equal(ul_signature_parse(foreign, strlen(foreign), &blob, &err), 0);
	ul_signature_free(&blob);
	static const char more[] = "{ \"later\": [1, {}], \"signature\" : \"AAEC\",\n"
				   "\t\"rootHash\" : \"" HASH "\" }\n";
	assert_int_equal(ul_signature_parse(more, strlen(more), &blob, &err), 0);
	assert_false(blob.has_fingerprint);
	ul_signature_free(&blob);
}

static void round_trip(void **state)
{
	static const char *const texts[] = {foreign, ours};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ul_signature_blob blob;
		struct ul_buffer text = {0};
		struct ul_error err;

		assert_int_equal(ul_signature_parse(texts[i], strlen(texts[i]), &blob, &err), 0);
		assert_int_equal(ul_signature_format(&blob, &text, &err), 0);
		assert_string_equal(ul_buffer_string(&text), texts[i]);
		ul_signature_free(&blob);
		ul_buffer_free(&text);
	}
}

/* `ours` with the first `from` replaced by `to`. */
static void rejects(void **state)
{
	static const char *const rows[][2] = {
		{"\"rootHash\":\"" HASH "\",", ""},
		{"\"rootHash\":\"00", "\"rootHash\":\""},
		{"0a0b", "0A0B"},
		{"0a0b", "0g0b"},
		{"\"" HASH "\"", "7"},
		{"\"" HASH "\"", "null"},
		{"\"" HASH "\"", "\"\""},
		{"\"" HASH "\"", "\"" HASH "\\u0000\""},
		{"Fingerprint\":\"00", "Fingerprint\":\""},
		{"Fingerprint\":\"00", "Fingerprint\":\"zz"},
		{"\"certificateFingerprint\":\"" HASH "\"", "\"certificateFingerprint\":1"},
		{"\"signature\":\"AAEC\",", ""},
		{"\"AAEC\"", "\"\""},
		{"\"AAEC\"", "\"AAE\""},
		{"\"AAEC\"", "\"AAE=\"}"},
		{"\"AAEC\"", "\"AA EC\""},
		{"\"AAEC\"", "\"AAEC\\n\""},
		{"\"AAEC\"", "[\"AAEC\"]"},
		{"\"descriptor\":\"AwQF\",", ""},
		{"\"AwQF\"", "\"\""},
		{"\"AwQF\"", "\"A\""},
		{",\"signature\":\"Bgc=\"", ""},
		{"Bgc=", "Bgd="},
		{"{\"descriptor\":\"AwQF\",\"signature\":\"Bgc=\"}", "true"},
		{"{\"descriptor\":\"AwQF\",\"signature\":\"Bgc=\"}", "null"},
		{"}}", "}"},
		{"}}", "}}}"},
		{"}}", "}} {}"},
		{"{\"rootHash\"", "[{\"rootHash\""},
		{"{\"rootHash\"", "\xff{\"rootHash\""},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		const char *at = strstr(ours, rows[i][0]);
		struct ul_signature_blob blob;
		struct ul_buffer text = {0};
		struct ul_error err = {0};

		assert_non_null(at);
		ul_buffer_append(&text, ours, (size_t)(at - ours));
		ul_buffer_append(&text, rows[i][1], strlen(rows[i][1]));
		at += strlen(rows[i][0]);
		ul_buffer_append(&text, at, strlen(at));
		assert_int_equal(ul_signature_parse(text.data, text.len, &blob, &err), -UL_E_SIGNATURE);
		assert_true(err.why[0] != '\0');
		ul_buffer_free(&text);
	}
}

static void empty_and_padding(void **state)
{
	uint8_t *partition = calloc(1, UL_SIGNATURE_PARTITION_MAX);
	struct ul_signature_blob blob;
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_signature_parse(partition, 16384, &blob, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "empty"));
	assert_int_equal(ul_signature_parse(partition, 0, &blob, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "empty"));
	memcpy(partition, ours, strlen(ours));
	assert_int_equal(ul_signature_parse(partition, UL_SIGNATURE_PARTITION_MAX, &blob, &err), 0);
	ul_signature_free(&blob);
	partition[UL_SIGNATURE_PARTITION_MAX - 1] = 1;
	assert_int_equal(ul_signature_parse(partition, UL_SIGNATURE_PARTITION_MAX, &blob, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "zeros"));
	partition[0] = 0;
	assert_int_equal(ul_signature_parse(partition, 16384, &blob, &err), -UL_E_SIGNATURE);
	free(partition);
}

/* Deep nesting, long texts: refused by measure, before memory is spent on them. */
static void bounded(void **state)
{
	struct ul_signature_blob blob;
	struct ul_buffer text = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_buffer_reserve(&text, 300000), 0);
	memset(text.data, '[', 100000);
	assert_int_equal(ul_signature_parse(text.data, 100000, &blob, &err), -UL_E_SIGNATURE);
	memset(text.data, ' ', 300000);
	assert_int_equal(ul_signature_parse(text.data, 300000, &blob, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "longer than"));
	/* A signature of 64 KiB is the longest; one byte more is none. */
	for (size_t extra = 0; extra < 2; extra++) {
		struct ul_signature_blob made = {.root_hash = (char *)HASH};
		uint8_t *der = calloc(1, 65536 + extra);

		made.signature = (struct ul_buffer){.data = der, .len = 65536 + extra, .size = 65536 + extra};
		text.len = 0;
		assert_int_equal(ul_signature_format(&made, &text, &err), extra ? -UL_E_INPUT : 0);
		if (!extra) {
			assert_int_equal(ul_signature_parse(text.data, text.len, &blob, &err), 0);
			assert_int_equal(blob.signature.len, 65536);
			ul_signature_free(&blob);
		}
		free(der);
	}
	ul_buffer_free(&text);
}

static void format_rejects(void **state)
{
	struct ul_buffer three = {.data = (uint8_t *)"abc", .len = 3, .size = 3};
	struct ul_signature_blob rows[] = {
		{.root_hash = NULL, .signature = three},
		{.root_hash = (char *)"00", .signature = three},
		{.root_hash = (char *)HASH},
		{.root_hash = (char *)HASH, .signature = three, .descriptor = three},
		{.root_hash = (char *)HASH, .signature = three, .descriptor_signature = three},
	};
	struct ul_buffer text = {0};
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++)
		assert_int_equal(ul_signature_format(&rows[i], &text, &err), -UL_E_INPUT);
	assert_int_equal(text.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_systemd_writes_it), cmocka_unit_test(round_trip), cmocka_unit_test(rejects),
		cmocka_unit_test(empty_and_padding),    cmocka_unit_test(bounded),    cmocka_unit_test(format_rejects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
