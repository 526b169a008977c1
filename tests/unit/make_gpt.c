#include "tests/unit/make_gpt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/encoding.h"
#include "common/file.h"
#include "tests/crc32.h"

#define ENTRIES      128
#define ENTRIES_SIZE (ENTRIES * 128)

/* A GUID lies in memory with its first three fields little-endian. */
static void put_guid(uint8_t *at, const char *text)
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	uint8_t plain[16];
	char hex[33];
	size_t n = 0;

	for (const char *p = text; *p; p++)
		if (*p != '-')
			hex[n++] = *p;
	assert_int_equal(n, 32);
	assert_true(ul_hex_decode(hex, 32, plain, 16));
	for (size_t i = 0; i < 16; i++)
		at[i] = plain[order[i]];
}

void seal_gpt_header(uint8_t *disk, uint64_t lba)
{
	uint8_t *h = disk + lba * 512;
	uint64_t entries = ul_get_le64(h + 72);

	if (entries + ENTRIES_SIZE / 512 <= GPT_SECTORS)
		ul_put_le32(h + 88, test_crc32(disk + entries * 512, ENTRIES_SIZE));
	ul_put_le32(h + 16, 0);
	ul_put_le32(h + 16, test_crc32(h, 92));
}

static void put_header(uint8_t *disk, uint64_t lba, uint64_t other, uint64_t entries)
{
	uint8_t *h = disk + lba * 512;

	memcpy(h, "EFI PART", 8);
	ul_put_le32(h + 8, 0x10000);
	ul_put_le32(h + 12, 92);
	ul_put_le64(h + 24, lba);
	ul_put_le64(h + 32, other);
	ul_put_le64(h + 40, 34);
	ul_put_le64(h + 48, GPT_SECTORS - 34);
	put_guid(h + 56, "5f3ba0cc-9e9c-4d6a-a0f3-8d5f7a1b2c3d");
	ul_put_le64(h + 72, entries);
	ul_put_le32(h + 80, ENTRIES);
	ul_put_le32(h + 84, 128);
	seal_gpt_header(disk, lba);
}

void make_gpt(uint8_t *disk, const struct gpt_part *parts, size_t n)
{
	memset(disk, 0, (size_t)GPT_SECTORS * 512);
	disk[446 + 4] = 0xee;
	ul_put_le32(disk + 446 + 8, 1);
	ul_put_le32(disk + 446 + 12, GPT_SECTORS - 1);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	for (size_t i = 0; i < n; i++) {
		uint8_t *e = disk + 1024 + i * 128;

		put_guid(e, parts[i].type);
		put_guid(e + 16, parts[i].uuid);
		ul_put_le64(e + 32, parts[i].first);
		ul_put_le64(e + 40, parts[i].last);
		for (size_t c = 0; c < 36 && parts[i].label[c]; c++)
			e[56 + 2 * c] = (uint8_t)parts[i].label[c];
	}
	memcpy(disk + (GPT_SECTORS - 33) * 512, disk + 1024, ENTRIES_SIZE);
	put_header(disk, 1, GPT_SECTORS - 1, 2);
	put_header(disk, GPT_SECTORS - 1, 1, GPT_SECTORS - 33);
}

int make_memfd(const void *data, size_t len, char ret_path[64])
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ul_pwrite_full(fd, data, len, 0), 0);
	snprintf(ret_path, 64, "/proc/self/fd/%d", fd);
	return fd;
}
