/* The superblock's parser: what veritysetup writes, and each field made wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "verity/format/superblock.h"

static void make(uint8_t sb[UL_SUPERBLOCK_SIZE])
{
	memset(sb, 0, UL_SUPERBLOCK_SIZE);
	memcpy(sb, "verity", 6);
	ul_put_le32(sb + 8, 1);
	ul_put_le32(sb + 12, 1);
	memset(sb + 16, 0xab, 16);
	memcpy(sb + 32, "sha256", 6);
	ul_put_le32(sb + 64, 4096);
	ul_put_le32(sb + 68, 1024);
	ul_put_le64(sb + 72, 1000);
	ul_put_le16(sb + 80, 3);
	memcpy(sb + 88, "\1\2\3", 3);
}

static void good(void **state)
{
	uint8_t sb[UL_SUPERBLOCK_SIZE], uuid[16];
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	make(sb);
	assert_int_equal(ul_superblock_parse(sb, "disk", &d, uuid, &err), 0);
	assert_string_equal(d.hash, "sha256");
	assert_int_equal(d.data_block_size, 4096);
	assert_int_equal(d.hash_block_size, 1024);
	assert_int_equal(d.data_blocks, 1000);
	assert_int_equal(d.hash_start, 1024);
	assert_int_equal(d.salt_len, 3);
	assert_memory_equal(d.salt, "\1\2\3", 3);
	assert_memory_equal(uuid, sb + 16, 16);
	assert_string_equal(d.name, "");
	assert_int_equal(d.root_hash_len, 0);
}

static void each_field_wrong(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t len;
		const char *words;
	} rows[] = {
		{0, "Verity", 6, "there is no superblock"},
		{7, "x", 1, "there is no superblock"},
		{8, "\2", 1, "version"},
		{12, "\0", 1, "hash type"},
		{12, "\2", 1, "hash type"},
		{32, "sha1\0\0", 6, "hash algorithm"},
		{32, "SHA256", 6, "hash algorithm"},
		{32, "sha256aaaaaaaaaaaaaaaaaaaaaaaaaa", 32, "hash algorithm"},
		{40, "x", 1, "padding"},
		{63, "x", 1, "padding"},
		{64, "\0\0\0\0", 4, "block size"},
		{64, "\0\20\0\1", 4, "block size"},
		{64, "\0\40\0\0", 4, "block size"},
		{68, "\0\1\0\0", 4, "block size"},
		{68, "\0\3\0\0", 4, "block size"},
		{72, "\0\0\0\0\0\0\0\0", 8, "no data blocks"},
		{80, "\1\1", 2, "salt"},
		{80, "\2", 1, "padding"}, /* a byte of salt behind its end */
		{87, "x", 1, "padding"},
		{343, "x", 1, "padding"},
		{344, "x", 1, "padding"},
		{511, "x", 1, "padding"},
	};
	uint8_t sb[UL_SUPERBLOCK_SIZE];
	struct ul_descriptor d;
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(sb);
		memcpy(sb + rows[i].at, rows[i].bytes, rows[i].len);
		assert_int_equal(ul_superblock_parse(sb, "disk", &d, NULL, &err), -UL_E_SUPERBLOCK);
		if (!strstr(err.why, rows[i].words))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, err.why, rows[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(each_field_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
