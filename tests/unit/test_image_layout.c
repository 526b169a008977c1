/* Places and names in a store image, and the partition table that libfdisk writes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/encoding.h"
#include "verity/format/gpt.h"
#include "verity/image/gpt_write.h"
#include "verity/format/image_layout.h"
#include "verity/format/partition_types.h"

#define MIB (UINT64_C(1) << 20)

static void lays_out_whole_mib(void **state)
{
	struct ul_image_layout l;

	(void)state;
	assert_int_equal(ul_image_layout(5000, 8192, &l), 0);
	assert_int_equal(l.data_offset, MIB);
	assert_int_equal(l.data_size, 8192);
	assert_int_equal(l.hash_offset, 2 * MIB);
	assert_int_equal(l.hash_size, 8192);
	assert_int_equal(l.sig_offset, 3 * MIB);
	assert_int_equal(l.sig_size, UL_SIG_PARTITION_SIZE);
	assert_int_equal(l.image_size, 4 * MIB);
	/* Exactly a MiB leaves no gap; one block more needs the next one. */
	assert_int_equal(ul_image_layout(MIB, MIB, &l), 0);
	assert_int_equal(l.hash_offset, 2 * MIB);
	assert_int_equal(l.sig_offset, 3 * MIB);
	assert_int_equal(ul_image_layout(MIB + 1, MIB, &l), 0);
	assert_int_equal(l.data_size, MIB + 4096);
	assert_int_equal(l.hash_offset, 3 * MIB);
}

static void refuses_what_overflows(void **state)
{
	static const uint64_t sizes[][2] = {
		{UINT64_MAX, 4096},          {UINT64_MAX - 4096, 4096},
		{4096, UINT64_MAX},          {UINT64_MAX / 2, UINT64_MAX / 2},
		{INT64_MAX - 2 * MIB, 4096},
	};
	struct ul_image_layout l = {.image_size = 7};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(ul_image_layout(sizes[i][0], sizes[i][1], &l), -EOVERFLOW);
	assert_int_equal(l.image_size, 7);
}

static void derives_as_documented(void **state)
{
	/* printf 'underlay-salt\0abc' | sha256sum */
	static const char wanted[] = "aea9360c3f78cd040e7cb08b5708e66647b6a6362ee4f5c24cbfc085acb53723";
	uint8_t out[32], uuid[16];
	char hex[65], text[37];

	(void)state;
	assert_int_equal(ul_image_derive("salt", "abc", 3, out), 0);
	ul_hex_encode(out, sizeof(out), hex);
	assert_string_equal(hex, wanted);
	assert_int_equal(ul_image_derive_uuid("salt", "abc", 3, uuid), 0);
	ul_uuid_format(uuid, text);
	assert_int_equal(text[14], '4');
	assert_non_null(strchr("89ab", text[19]));
	assert_memory_equal(text, wanted, 8);
}

static void partition_uuids_are_halves(void **state)
{
	uint8_t root_hash[32], data[16], hash[16];
	char text[37];

	(void)state;
	for (size_t i = 0; i < sizeof(root_hash); i++)
		root_hash[i] = (uint8_t)(i * 8);
	assert_int_equal(ul_image_partition_uuids(root_hash, 32, data, hash), 0);
	ul_uuid_format(data, text);
	assert_string_equal(text, "00081018-2028-3038-4048-505860687078");
	ul_uuid_format(hash, text);
	assert_string_equal(text, "80889098-a0a8-b0b8-c0c8-d0d8e0e8f0f8");
	assert_int_equal(ul_image_partition_uuids(root_hash, 31, data, hash), -EINVAL);
}

static int make_image(uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void write_table(int fd)
{
	const struct ul_partition_types *t = ul_partition_types_find("x86_64", "usr");
	struct ul_gpt_entry entries[3] = {
		{t->data, {0xaa, 1}, "name_1", MIB, 8192, true},
		{t->verity, {0xbb, 2}, "name_1", 2 * MIB, 4096, true},
		{t->verity_sig, {0xcc, 3}, "name_1", 3 * MIB, 16384, false},
	};
	const struct ul_gpt_table table = {512, {0xd1, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10}, entries, 3};
	struct ul_error err;

	assert_int_equal(ul_gpt_write(fd, "image", &table, &err), 0);
}

static void writes_a_table_that_reads_back(void **state)
{
	const struct ul_partition_types *t = ul_partition_types_find("x86_64", "usr");
	int fd = make_image(4 * MIB);
	struct ul_error err;
	struct ul_gpt gpt;

	(void)state;
	write_table(fd);
	assert_int_equal(ul_gpt_read(fd, "image", &gpt, &err), 0);
	assert_int_equal(gpt.n, 3);
	assert_string_equal(gpt.partitions[0].type, t->data);
	assert_string_equal(gpt.partitions[0].uuid, "aa010000-0000-0000-0000-000000000000");
	assert_string_equal(gpt.partitions[0].label, "name_1");
	assert_int_equal(gpt.partitions[0].offset, MIB);
	assert_int_equal(gpt.partitions[0].size, 8192);
	assert_string_equal(gpt.partitions[2].type, t->verity_sig);
	assert_int_equal(gpt.partitions[2].size, 16384);
	ul_gpt_free(&gpt);
	assert_int_equal(ul_gpt_check_copies(fd, "image", &err), 0);
	close(fd);
}

/* The same bytes each time, and nothing of the partitions' contents touched. */
static void table_is_reproducible(void **state)
{
	size_t size = 4 * MIB;
	int a = make_image(size), b = make_image(size);
	uint8_t *bytes[2] = {malloc(size), malloc(size)};

	(void)state;
	assert_int_equal(pwrite(a, "data", 4, MIB), 4);
	assert_int_equal(pwrite(b, "data", 4, MIB), 4);
	write_table(a);
	write_table(b);
	assert_int_equal(pread(a, bytes[0], size, 0), size);
	assert_int_equal(pread(b, bytes[1], size, 0), size);
	assert_memory_equal(bytes[0], bytes[1], size);
	assert_memory_equal(bytes[0] + MIB, "data", 4);
	free(bytes[0]);
	free(bytes[1]);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lays_out_whole_mib),
		cmocka_unit_test(refuses_what_overflows),
		cmocka_unit_test(derives_as_documented),
		cmocka_unit_test(partition_uuids_are_halves),
		cmocka_unit_test(writes_a_table_that_reads_back),
		cmocka_unit_test(table_is_reproducible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
