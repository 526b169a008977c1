/* Partition tables: a good one, every way to damage one, and the kernel's devices for partitions. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/file.h"
#include "tests/unit/make_gpt.h"
#include "verity/format/gpt.h"
#include "verity/open/partition_device.h"

#define LINUX  "0fc63daf-8483-4772-8e79-3d69d8477de4"
#define UUID_A "aaaaaaaa-0000-1111-2222-333333333333"
#define UUID_B "bbbbbbbb-0000-1111-2222-333333333333"
#define BACKUP (GPT_SECTORS - 1)

static const struct gpt_part two[] = {
	{LINUX, UUID_A, "demo_1.2", 64, 127},
	{LINUX, UUID_B, "other", 40, 63},
};

static uint8_t disk[GPT_SECTORS * 512];

static int read_disk(size_t len, struct ul_gpt *ret, struct ul_error *err)
{
	char path[64];
	int fd = make_memfd(disk, len, path), r = ul_gpt_read(fd, "disk", ret, err);

	close(fd);
	return r;
}

/* The disk as it stands is refused, and the reason holds these words. */
static void assert_refused(size_t len, const char *words)
{
	struct ul_gpt gpt;
	struct ul_error err;

	assert_int_equal(read_disk(len, &gpt, &err), -UL_E_PARTITIONS);
	if (!strstr(err.why, words))
		fail_msg("\"%s\" lacks \"%s\"", err.why, words);
}

static void good(void **state)
{
	struct ul_gpt gpt;
	struct ul_error err;

	(void)state;
	make_gpt(disk, two, 2);
	assert_int_equal(read_disk(sizeof(disk), &gpt, &err), 0);
	assert_true(gpt.present);
	assert_false(gpt.from_backup);
	assert_int_equal(gpt.n, 2);
	assert_int_equal(gpt.disk_size, sizeof(disk));
	assert_int_equal(gpt.partitions[0].number, 1);
	assert_int_equal(gpt.partitions[0].offset, 64 * 512);
	assert_int_equal(gpt.partitions[0].size, 64 * 512);
	assert_string_equal(gpt.partitions[0].type, LINUX);
	assert_string_equal(gpt.partitions[0].uuid, UUID_A);
	assert_string_equal(gpt.partitions[0].label, "demo_1.2");
	assert_int_equal(gpt.partitions[1].offset, 40 * 512);
	ul_gpt_free(&gpt);
}

static void no_table(void **state)
{
	struct ul_gpt gpt;
	struct ul_error err;

	(void)state;
	memset(disk, 0, sizeof(disk));
	assert_int_equal(read_disk(sizeof(disk), &gpt, &err), 0);
	assert_false(gpt.present);
	assert_int_equal(gpt.n, 0);
	assert_int_equal(read_disk(100, &gpt, &err), 0);
	assert_int_equal(read_disk(0, &gpt, &err), 0);
	/* A disk formatted anew, whose end still holds the backup. */
	make_gpt(disk, two, 2);
	memset(disk, 0, 34 * 512);
	assert_int_equal(read_disk(sizeof(disk), &gpt, &err), 0);
	assert_false(gpt.present);
}

static void primary_damaged(void **state)
{
	struct ul_gpt gpt;
	struct ul_error err;

	(void)state;
	for (int what = 0; what < 2; what++) {
		make_gpt(disk, two, 2);
		disk[what == 0 ? 512 + 40 : 1024 + 33] ^= 1; /* header; entries */
		assert_int_equal(read_disk(sizeof(disk), &gpt, &err), 0);
		assert_true(gpt.present);
		assert_true(gpt.from_backup);
		assert_int_equal(gpt.n, 2);
		ul_gpt_free(&gpt);
	}
}

static void both_damaged(void **state)
{
	(void)state;
	make_gpt(disk, two, 2);
	memset(disk + 512, 0, 512);
	memset(disk + BACKUP * 512, 0, 512);
	assert_refused(sizeof(disk), "no copy of the GPT is whole");
	make_gpt(disk, two, 2);
	disk[512 + 40] ^= 1;
	disk[BACKUP * 512 + 40] ^= 1;
	assert_refused(sizeof(disk), "its checksum is wrong");
	make_gpt(disk, two, 2);
	disk[1024] ^= 1;
	disk[(BACKUP - 32) * 512] ^= 1;
	assert_refused(sizeof(disk), "its entries are damaged");
	make_gpt(disk, two, 2);
	disk[510] = 0;
	assert_refused(sizeof(disk), "protective MBR");
}

static void truncated(void **state)
{
	(void)state;
	make_gpt(disk, two, 2);
	assert_refused(sizeof(disk) - 1024 * 512, "truncated: 1572864 bytes are there, the table wants 2097152");
	assert_refused(64 * 512, "truncated");
}

/* libblkid would allocate and read what a header asks for. */
static void too_many_entries(void **state)
{
	(void)state;
	for (int which = 0; which < 2; which++) {
		uint64_t lba = which == 0 ? 1 : BACKUP;

		make_gpt(disk, two, 2);
		ul_put_le32(disk + lba * 512 + 80, 0x01000000);
		seal_gpt_header(disk, lba);
		assert_refused(sizeof(disk), "entries is beyond the limit");
	}
}

static void bad_extents(void **state)
{
	static const struct gpt_part overlap[] = {{LINUX, UUID_A, "a", 64, 128}, {LINUX, UUID_B, "b", 128, 200}};
	static const struct gpt_part backwards[] = {{LINUX, UUID_A, "a", 100, 50}};

	(void)state;
	make_gpt(disk, overlap, 2);
	assert_refused(sizeof(disk), "partitions 1 and 2 overlap");
	make_gpt(disk, backwards, 1);
	assert_refused(sizeof(disk), "partition 1 does not lie within the disk");
}

static void copies(void **state)
{
	static const struct {
		uint64_t at;
		const char *words;
	} damage[] = {
		{512 + 100, NULL}, /* behind the header */
		{512 + 41, "the primary copy of the GPT is damaged: its checksum"},
		{1024 + 5, "the primary copy of the GPT is damaged: the checksum of its entries"},
		{BACKUP * 512, "the backup copy of the GPT is damaged: it is not there"},
		{BACKUP * 512 + 60, "the backup copy of the GPT is damaged: its checksum"},
		{(BACKUP - 32) * 512, "the backup copy of the GPT is damaged: the checksum of its entries"},
	};
	struct ul_error err;
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		make_gpt(disk, two, 2);
		disk[damage[i].at] ^= 1;
		int fd = make_memfd(disk, sizeof(disk), path);

		if (!damage[i].words) {
			assert_int_equal(ul_gpt_check_copies(fd, "disk", &err), 0);
		} else {
			assert_int_equal(ul_gpt_check_copies(fd, "disk", &err), -UL_E_PARTITIONS);
			if (!strstr(err.why, damage[i].words))
				fail_msg("\"%s\" lacks \"%s\"", err.why, damage[i].words);
		}
		close(fd);
	}
	/* Both valid, but not of one another. */
	make_gpt(disk, two, 2);
	disk[(BACKUP - 32) * 512 + 56] = 'X';
	seal_gpt_header(disk, BACKUP);
	int fd = make_memfd(disk, sizeof(disk), path);

	assert_int_equal(ul_gpt_check_copies(fd, "disk", &err), -UL_E_PARTITIONS);
	assert_non_null(strstr(err.why, "it differs from the primary one"));
	close(fd);
}

static void put(const char *top, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, path, 0755), 0);
	*slash = '/';
	assert_int_equal(ul_write_file(AT_FDCWD, path, 0644, text, strlen(text)), 0);
}

static void devices(void **state)
{
	static const struct ul_partition p = {.number = 2, .offset = 64 * 512, .size = 64 * 512};
	char top[] = "/tmp/underlay-test-XXXXXX", sys[64], dev[64], want[96], *path = NULL;
	struct ul_error err;

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(sys, sizeof(sys), "%s/sys", top);
	snprintf(dev, sizeof(dev), "%s/dev", top);
	assert_int_equal(ul_partition_device(sys, dev, makedev(259, 0), &p, &path, &err), -UL_E_DEVICE);
	put(top, "sys/dev/block/259:0/size", "4096\n");
	put(top, "sys/dev/block/259:0/nvme0n1p1/partition", "1\n");
	assert_int_equal(ul_partition_device(sys, dev, makedev(259, 0), &p, &path, &err), -UL_E_DEVICE);
	put(top, "sys/dev/block/259:0/nvme0n1p2/partition", "2\n");
	put(top, "sys/dev/block/259:0/nvme0n1p2/start", "64\n");
	put(top, "sys/dev/block/259:0/nvme0n1p2/size", "63\n");
	put(top, "sys/dev/block/259:0/nvme0n1p2/uevent",
	    "MAJOR=259\nMINOR=2\nDEVNAME=sub/nvme0n1p2\nDEVTYPE=partition\n");
	assert_int_equal(ul_partition_device(sys, dev, makedev(259, 0), &p, &path, &err), -UL_E_PARTITIONS);
	put(top, "sys/dev/block/259:0/nvme0n1p2/size", "64\n");
	assert_int_equal(ul_partition_device(sys, dev, makedev(259, 0), &p, &path, &err), -UL_E_DEVICE);
	assert_non_null(strstr(err.why, "not there (yet)"));
	put(top, "dev/sub/nvme0n1p2", "");
	assert_int_equal(ul_partition_device(sys, dev, makedev(259, 0), &p, &path, &err), 0);
	snprintf(want, sizeof(want), "%s/sub/nvme0n1p2", dev);
	assert_string_equal(path, want);
	free(path);
	assert_int_equal(ul_remove_tree(AT_FDCWD, top), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),         cmocka_unit_test(no_table),  cmocka_unit_test(primary_damaged),
		cmocka_unit_test(both_damaged), cmocka_unit_test(truncated), cmocka_unit_test(too_many_entries),
		cmocka_unit_test(bad_extents),  cmocka_unit_test(copies),    cmocka_unit_test(devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
