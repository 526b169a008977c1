/* The descriptor: its text, the way back, and every field that breaks its rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "verity/format/descriptor.h"

#define HASH "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char good[] = "underlay-descriptor=1\n"
			   "root-hash=" HASH "\n"
			   "hash=sha256\n"
			   "salt=00ff\n"
			   "data-block-size=4096\n"
			   "hash-block-size=4096\n"
			   "data-blocks=1000\n"
			   "hash-start=4096\n"
			   "fec-roots=0\n"
			   "fec-start=0\n"
			   "name=demo\n"
			   "version=1.2\n"
			   "rollback-index=7\n"
			   "manifest=" HASH "\n";

/* `good` with the first `from` replaced by `to`, parsed. */
static int parse_with(const char *from, const char *to, struct ul_descriptor *d, struct ul_error *err)
{
	const char *at = strstr(good, from);
	struct ul_buffer text = {0};
	int r;

	assert_non_null(at);
	ul_buffer_append(&text, good, (size_t)(at - good));
	ul_buffer_append(&text, to, strlen(to));
	at += strlen(from);
	ul_buffer_append(&text, at, strlen(at));
	r = ul_descriptor_parse(text.data, text.len, d, err);
	ul_buffer_free(&text);
	return r;
}

static void round_trip(void **state)
{
	struct ul_buffer text = {0};
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_descriptor_parse(good, strlen(good), &d, &err), 0);
	assert_int_equal(d.root_hash_len, 32);
	assert_int_equal(d.root_hash[31], 31);
	assert_string_equal(d.hash, "sha256");
	assert_int_equal(d.salt_len, 2);
	assert_int_equal(d.salt[1], 0xff);
	assert_int_equal(d.data_blocks, 1000);
	assert_int_equal(d.hash_start, 4096);
	assert_string_equal(d.name, "demo");
	assert_string_equal(d.version, "1.2");
	assert_int_equal(d.rollback_index, 7);
	assert_true(d.has_manifest);
	assert_int_equal(ul_descriptor_format(&d, &text, &err), 0);
	assert_int_equal(text.len, strlen(good));
	assert_memory_equal(text.data, good, text.len);
	ul_buffer_free(&text);
}

static void accepts(void **state)
{
	static const char *const rows[][2] = {
		{"salt=00ff", "salt="},
		{"manifest=" HASH, "manifest="},
		{"hash-start=4096", "hash-start=0"},
		{"fec-roots=0\nfec-start=0", "fec-roots=2\nfec-start=1048576"},
		{"root-hash=" HASH "\nhash=sha256", "root-hash=" HASH HASH "\nhash=sha512"},
		{"rollback-index=7", "rollback-index=18446744073709551615"},
		{"data-blocks=1000", "data-blocks=1"},
		{"data-block-size=4096", "data-block-size=512"},
	};
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++)
		assert_int_equal(parse_with(rows[i][0], rows[i][1], &d, &err), 0);
}

/* What is replaced in a good descriptor, and by what. */
static const char *const rejected[][2] = {
	{"underlay-descriptor=1\n", ""},
	{"underlay-descriptor=1", "underlay-descriptor=01"},
	{"underlay-descriptor=1", "underlay-descriptor="},
	{"root-hash=0001", "root-hash=01"},
	{"root-hash=00", "root-hash=0"},
	{"root-hash=" HASH, "root-hash=" HASH HASH},
	{"root-hash=" HASH, "root-hash=" HASH HASH HASH},
	{"0a0b", "0A0b"},
	{"0a0b", "0g0b"},
	{"hash=sha256", "hash=sha512"},
	{"hash=sha256", "hash=md5"},
	{"hash=sha256", "hash=sha256sha256sha256"},
	{"hash=sha256\n", ""},
	{"hash=sha256\nsalt=00ff\n", "salt=00ff\nhash=sha256\n"},
	{"salt=00ff", "salt=00f"},
	{"salt=00ff", "salt=00FF"},
	{"salt=00ff", "salt=-"},
	{"data-block-size=4096", "data-block-size=4095"},
	{"data-block-size=4096", "data-block-size=8192"},
	{"data-block-size=4096", "data-block-size=256"},
	{"data-block-size=4096", "data-block-size=0"},
	{"data-block-size=4096", "data-block-size=4294971392"},
	{"hash-block-size=4096", "hash-block-size=3000"},
	{"data-blocks=1000", "data-blocks=0"},
	{"data-blocks=1000", "data-blocks=-1"},
	{"data-blocks=1000", "data-blocks=+1"},
	{"data-blocks=1000", "data-blocks=01000"},
	{"data-blocks=1000", "data-blocks= 1000"},
	{"data-blocks=1000", "data-blocks=0x10"},
	{"data-blocks=1000", "data-blocks=18446744073709551616"},
	{"data-blocks=1000", "data-blocks=18446744073709551615"},
	{"data-blocks=1000", "data-blocks=2251799813685248"},
	{"hash-start=4096", "hash-start=4097"},
	{"hash-start=4096", "hash-start=512"},
	{"hash-start=4096", "hash-start=9223372036854771712"},
	{"hash-start=4096", "hash-start=18446744073709547520"},
	{"fec-roots=0", "fec-roots=1"},
	{"fec-roots=0", "fec-roots=25"},
	{"fec-roots=0", "fec-roots=2"},
	{"fec-start=0", "fec-start=1048576"},
	{"fec-roots=0\nfec-start=0", "fec-roots=2\nfec-start=8192"},
	{"fec-roots=0\nfec-start=0", "fec-roots=2\nfec-start=1048577"},
	{"fec-roots=0\nfec-start=0", "fec-roots=2\nfec-start=18446744073709547520"},
	{"name=demo", "name="},
	{"name=demo", "name=de_mo"},
	{"name=demo", "name=de/mo"},
	{"name=demo", "name=../demo"},
	{"name=demo", "name=demo "},
	{"name=demo", "name=demo\r"},
	{"name=demo", "name=\xc3\xa4"},
	{"name=demo", "name=0123456789012345678901234567890123456789012345678901234567890123"},
	{"version=1.2", "version="},
	{"version=1.2", "version=1 2"},
	{"version=1.2\n", "version=1.2"},
	{"version=1.2\n", "version=1.2\nversion=1.2\n"},
	{"rollback-index=7", "rollback-index=7a"},
	{"rollback-index=7", "rollback-index=99999999999999999999"},
	{"manifest=" HASH, "manifest=00"},
	{"manifest=" HASH, "manifest=" HASH "00"},
	{"manifest=" HASH "\n", "manifest=" HASH},
	{"manifest=" HASH "\n", "manifest=" HASH "\n\n"},
	{"manifest=" HASH "\n", "manifest=" HASH "\nmore=1\n"},
	{"manifest=" HASH "\n", ""},
	{"root-hash=", "root-hash ="},
	{"root-hash=", "Root-hash="},
};

static void rejects(void **state)
{
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rejected); i++) {
		err.why[0] = '\0';
		assert_int_equal(parse_with(rejected[i][0], rejected[i][1], &d, &err), -UL_E_DESCRIPTOR);
		assert_true(err.why[0] != '\0');
	}
	assert_int_equal(parse_with("descriptor=1", "descriptor=2", &d, &err), -UL_E_VERSION);
}

/* Cut at each byte, a NUL at each byte, too long: never accepted, never read past the end. */
static void cut_and_nul(void **state)
{
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	for (size_t len = 0; len < strlen(good); len++) {
		char *text = malloc(len + 1);

		memcpy(text, good, len);
		assert_int_equal(ul_descriptor_parse(text, len, &d, &err), -UL_E_DESCRIPTOR);
		free(text);
		text = strdup(good);
		text[len] = '\0';
		assert_int_equal(ul_descriptor_parse(text, strlen(good), &d, &err), -UL_E_DESCRIPTOR);
		free(text);
	}
	char *text = calloc(1, UL_DESCRIPTOR_MAX + 1);

	memset(text, '\n', UL_DESCRIPTOR_MAX + 1);
	memcpy(text, good, strlen(good));
	assert_int_equal(ul_descriptor_parse(text, UL_DESCRIPTOR_MAX + 1, &d, &err), -UL_E_DESCRIPTOR);
	free(text);
}

/* A salt of the greatest length fits; one byte more does not. */
static void longest_salt(void **state)
{
	struct ul_descriptor d, back;
	struct ul_buffer text = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_descriptor_parse(good, strlen(good), &d, &err), 0);
	memset(d.salt, 0xab, sizeof(d.salt));
	d.salt_len = UL_SALT_MAX;
	assert_int_equal(ul_descriptor_format(&d, &text, &err), 0);
	assert_int_equal(ul_descriptor_parse(text.data, text.len, &back, &err), 0);
	assert_int_equal(back.salt_len, UL_SALT_MAX);
	assert_memory_equal(back.salt, d.salt, UL_SALT_MAX);
	d.salt_len++;
	assert_int_equal(ul_descriptor_format(&d, &text, &err), -UL_E_INPUT);
	ul_buffer_free(&text);
}

static void format_rejects(void **state)
{
	struct ul_descriptor d, e;
	struct ul_buffer text = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_descriptor_parse(good, strlen(good), &d, &err), 0);
	e = d;
	e.name[0] = '\0';
	assert_int_equal(ul_descriptor_format(&e, &text, &err), -UL_E_INPUT);
	e = d;
	e.root_hash_len = 20;
	assert_int_equal(ul_descriptor_format(&e, &text, &err), -UL_E_INPUT);
	e = d;
	e.data_blocks = 0;
	assert_int_equal(ul_descriptor_format(&e, &text, &err), -UL_E_INPUT);
	assert_int_equal(text.len, 0);
	ul_buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),  cmocka_unit_test(accepts),      cmocka_unit_test(rejects),
		cmocka_unit_test(cut_and_nul), cmocka_unit_test(longest_salt), cmocka_unit_test(format_rejects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
