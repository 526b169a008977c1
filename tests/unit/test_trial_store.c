/* Where the trials' record lies: both places, the power cut at every sector of a write, worn-out and hostile disks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "tests/unit/make_gpt.h"
#include "verity/trial/store.h"

#define LINUX "0fc63daf-8483-4772-8e79-3d69d8477de4"
#define UUID  "aaaaaaaa-0000-1111-2222-333333333333"
#define UUID2 "bbbbbbbb-0000-1111-2222-333333333333"
#define FIRST 1024 /* sectors of 512 bytes */
#define COPY  4096 /* bytes */
#define APART 65536

static uint8_t disk[GPT_SECTORS * 512];
static char path[] = "/tmp/test_trial_store.XXXXXX";

/* ---- a disk that is worn out ---- */

static uint64_t worn_out = UINT64_MAX; /* byte of the disk: a write there fails */
static uint64_t forgets = UINT64_MAX;  /* a write there has no effect, and is reported as made */

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	if ((uint64_t)offset == worn_out)
		return errno = EIO, -1;
	if ((uint64_t)offset == forgets)
		return (ssize_t)n;
	return (ssize_t)syscall(SYS_pwrite64, fd, buf, n, offset);
}

ssize_t plain_pwrite(int fd, const void *buf, size_t n, off_t offset) __asm__("pwrite");
ssize_t plain_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

/* ---- help ---- */

static void put_disk(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ul_pwrite_full(fd, disk, sizeof(disk), 0), 0);
	close(fd);
}

static void get_disk(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ul_pread_full(fd, disk, sizeof(disk), 0), 0);
	close(fd);
}

static void make_disk(const char *type, uint64_t sectors)
{
	const struct gpt_part parts[] = {
		{LINUX, UUID, "other", 64, 127},
		{type, UUID2, "trials", FIRST, FIRST + sectors - 1},
	};

	memset(disk, 0, sizeof(disk));
	make_gpt(disk, parts, 2);
	put_disk();
}

static struct ul_trial_image image(uint8_t number)
{
	static uint8_t hash[32];

	memset(hash, number, sizeof(hash));
	return (struct ul_trial_image){hash, sizeof(hash), "1.0"};
}

/* One more image in the record of the disk. */
static int add(uint8_t number)
{
	struct ul_trial_image x = image(number);
	struct ul_trial_store s;
	struct ul_error err;
	int r = ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err);

	assert_int_equal(r, 0);
	assert_int_equal(s.place, UL_TRIAL_PARTITION);
	ul_trial_begin(&s.record, &x, 3);
	r = ul_trial_store_write(&s, &err);
	ul_trial_store_close(&s);
	return r;
}

static void read_back(struct ul_trial_store *s)
{
	struct ul_error err;

	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_READ, s, &err), 0);
	assert_int_equal(s->place, UL_TRIAL_PARTITION);
	ul_trial_store_close(s);
}

/* ---- in a partition ---- */

static void it_is_kept(void **state)
{
	struct ul_trial_store s;

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 256);
	read_back(&s);
	assert_int_equal(s.newest, -1);
	assert_int_equal(s.broken, 0);
	for (unsigned int i = 1; i <= 6; i++) {
		assert_int_equal(add((uint8_t)i), 0);
		read_back(&s);
		assert_int_equal(s.record.n, i);
		assert_int_equal(s.record.sequence, i);
		assert_int_equal(s.newest, (i + 1) % 2);
		assert_int_equal(s.broken, 0);
	}
}

static void a_disk_without_room_for_it(void **state)
{
	struct ul_trial_store s;
	struct ul_error err;

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 255);
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_NOWHERE);
	ul_trial_store_close(&s);
	make_disk(LINUX, 256);
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_NOWHERE);
	ul_trial_store_close(&s);
	memset(disk, 0, sizeof(disk));
	put_disk();
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_NOWHERE);
	ul_trial_store_close(&s);
	assert_int_equal(ul_trial_store_open("/nowhere", UL_TRIAL_READ, &s, &err), -UL_E_SYSTEM);
	ul_trial_store_close(&s);
}

/* A broken table is not a disk without trials: the caller says so. */
static void a_broken_table(void **state)
{
	struct ul_trial_store s;
	struct ul_error err;

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 256);
	disk[512 + 60] ^= 1;
	disk[(GPT_SECTORS - 1) * 512 + 60] ^= 1;
	put_disk();
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_READ, &s, &err), -UL_E_PARTITIONS);
	ul_trial_store_close(&s);
}

/*
 * The power is cut while a copy is written: of its eight sectors any may be there and any not. What is found is the
 * record as it was, or as it was to be; and it can be written again.
 */
static void cut_at_every_sector(void **state)
{
	static uint8_t before[sizeof(disk)], after[sizeof(disk)];

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 256);
	for (unsigned int turn = 1; turn <= 4; turn++) {
		size_t at = FIRST * 512 + (turn % 2 ? 0 : APART);

		get_disk();
		memcpy(before, disk, sizeof(disk));
		assert_int_equal(add((uint8_t)turn), 0);
		get_disk();
		memcpy(after, disk, sizeof(disk));
		/* Nothing else was written. */
		memcpy(disk + at, before + at, COPY);
		assert_memory_equal(disk, before, sizeof(disk));
		for (unsigned int there = 0; there < 256; there++) {
			struct ul_trial_store s;

			memcpy(disk, before, sizeof(disk));
			for (unsigned int i = 0; i < 8; i++)
				if (there & 1u << i)
					memcpy(disk + at + i * 512, after + at + i * 512, 512);
			put_disk();
			read_back(&s);
			/* The record has two sectors; the others are zero in both. */
			assert_int_equal(s.record.n, (there & 3) == 3 ? turn : turn - 1);
			if (there == 1 || there == 2) {
				assert_int_equal(add(77), 0);
				read_back(&s);
				assert_int_equal(s.record.n, turn);
			}
		}
		memcpy(disk, after, sizeof(disk));
		put_disk();
	}
}

static void a_place_that_is_worn_out(void **state)
{
	struct ul_trial_store s;

	(void)state;
	for (int how = 0; how < 2; how++) {
		make_disk(UL_TRIAL_PARTITION_TYPE, 256);
		assert_int_equal(add(1), 0);
		*(how ? &forgets : &worn_out) = FIRST * 512 + APART;
		for (unsigned int i = 2; i < 5; i++) {
			assert_int_equal(add((uint8_t)i), 0);
			read_back(&s);
			assert_int_equal(s.record.n, i);
			assert_int_equal(s.newest, 0);
		}
		worn_out = forgets = UINT64_MAX;
		assert_int_equal(add(9), 0);
		read_back(&s);
		assert_int_equal(s.record.n, 5);
	}
}

static void what_is_no_record_is_none(void **state)
{
	struct ul_trial_store s;

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 256);
	memset(disk + FIRST * 512, 0x55, 256 * 512);
	put_disk();
	read_back(&s);
	assert_int_equal(s.newest, -1);
	assert_int_equal(s.broken, 2);
	assert_int_equal(s.record.n, 0);
	assert_int_equal(s.record.sequence, 0);
	assert_int_equal(add(1), 0);
	read_back(&s);
	assert_int_equal(s.record.n, 1);
	assert_int_equal(s.broken, 1);
}

/* A record as new as can be: the next one must not be taken for an older. */
static void a_forged_sequence(void **state)
{
	struct ul_trial_store s;
	struct ul_error err;

	(void)state;
	make_disk(UL_TRIAL_PARTITION_TYPE, 256);
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), 0);
	s.record.sequence = UL_TRIAL_SEQUENCE_MAX - 2;
	assert_int_equal(ul_trial_store_write(&s, &err), 0);
	ul_trial_store_close(&s);
	for (unsigned int i = 1; i <= 4; i++) {
		struct ul_trial_image x = image((uint8_t)i);

		assert_int_equal(add((uint8_t)i), 0);
		read_back(&s);
		assert_non_null(ul_trial_find(&s.record, &x));
	}
}

/* A partition that reaches beyond the disk, or into another, is not written. */
static void a_partition_that_is_not_one(void **state)
{
	const struct gpt_part overlapping[] = {
		{LINUX, UUID, "other", 64, FIRST},
		{UL_TRIAL_PARTITION_TYPE, UUID2, "trials", FIRST, FIRST + 255},
	};
	struct ul_trial_store s;
	struct ul_error err;

	(void)state;
	memset(disk, 0, sizeof(disk));
	make_gpt(disk, overlapping, 2);
	put_disk();
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), -UL_E_PARTITIONS);
	ul_trial_store_close(&s);
	/* libblkid leaves it out. */
	make_disk(UL_TRIAL_PARTITION_TYPE, GPT_SECTORS);
	assert_int_equal(ul_trial_store_open(path, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_NOWHERE);
	ul_trial_store_close(&s);
}

/* ---- in a variable ---- */

static void in_a_variable(void **state)
{
	char dir[] = "/tmp/test_trial_efi.XXXXXX", file[sizeof(dir) + sizeof(UL_TRIAL_EFI) + 1];
	struct ul_trial_image a = image(1);
	struct ul_trial_store s;
	struct ul_error err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/%s", dir, UL_TRIAL_EFI);
	assert_int_equal(ul_trial_store_open_efi(dir, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_EFI_VARIABLE);
	assert_int_equal(s.newest, -1);
	assert_int_equal(s.broken, 0);
	ul_trial_begin(&s.record, &a, 3);
	assert_int_equal(ul_trial_store_write(&s, &err), 0);
	ul_trial_store_close(&s);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 4 + UL_TRIAL_RECORD_SIZE);

	assert_int_equal(ul_trial_store_open_efi(dir, UL_TRIAL_READ, &s, &err), 0);
	assert_int_equal(s.record.sequence, 1);
	assert_non_null(ul_trial_find(&s.record, &a));
	ul_trial_store_close(&s);

	/* Cut short, or longer: no record, and no failure. */
	for (off_t size = 0; size <= 2 * UL_TRIAL_RECORD_SIZE; size += 256) {
		int r;

		assert_int_equal(truncate(file, size), 0);
		r = ul_trial_store_open_efi(dir, UL_TRIAL_READ, &s, &err);
		assert_true(r == 0 || (r == -UL_E_SYSTEM && size == 0));
		assert_int_equal(s.record.n, 0);
		ul_trial_store_close(&s);
	}
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(ul_trial_store_open_efi(dir, UL_TRIAL_CHANGE, &s, &err), 0);
	assert_int_equal(s.place, UL_TRIAL_NOWHERE);
	ul_trial_store_close(&s);
}

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_kept),
		cmocka_unit_test(a_disk_without_room_for_it),
		cmocka_unit_test(a_broken_table),
		cmocka_unit_test(cut_at_every_sector),
		cmocka_unit_test(a_place_that_is_worn_out),
		cmocka_unit_test(what_is_no_record_is_none),
		cmocka_unit_test(a_forged_sequence),
		cmocka_unit_test(a_partition_that_is_not_one),
		cmocka_unit_test(in_a_variable),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
