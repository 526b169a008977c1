/*
 * Checking the upper's filesystem. Before: it is not mounted, and may be damaged. After: its own fsck found it sound,
 * or repaired what is safe to repair unasked; or the initramfs does not have that fsck, and nothing was done. e2fsck
 * reads the whole filesystem at each boot, also where the superblock says clean: whoever wrote the disk says that.
 *
 * e2fsck leaves one repair to a user, whom an appliance does not have. ext4's superblock has 1024 bytes, and a disk
 * that loses power promises no more than whole sectors of 512. Where only one of the two was written, the superblock's
 * checksum is wrong: neither the kernel nor `e2fsck -p` opens the filesystem, though all the rest is sound. e2fsck
 * replays the journal and repairs it when it is told to start from a copy.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/run.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

static const char what[] = "checking the upper";

/* fsck's exit status is a sum; with more than the first all is not well. */
#define FSCK_CORRECTED 1
#define FSCK_FAILED    8 /* it could not work at all: no superblock that it believes, say */

/* ext4's superblock: Documentation/filesystems/ext4/super.rst. */
#define EXT4_SUPERBLOCK       1024 /* bytes: where it is, and its size */
#define EXT4_FIRST_DATA_BLOCK 0x14
#define EXT4_LOG_BLOCK_SIZE   0x18 /* of 1024 bytes */
#define EXT4_BLOCKS_PER_GROUP 0x20
#define EXT4_MAGIC            0x38
#define EXT4_GROUP            0x5a /* of the copy */
#define EXT4_UUID             0x68
#define EXT4_LOG_MAX          6

static bool read_superblock(int fd, uint64_t offset, uint8_t buf[EXT4_SUPERBLOCK])
{
	return ul_pread_full(fd, buf, EXT4_SUPERBLOCK, offset) == 0 && ul_get_le16(buf + EXT4_MAGIC) == 0xef53;
}

/*
 * The superblock's copy in group 1, as the options of e2fsck. It must be a copy of this one: one that an earlier
 * filesystem left there would have e2fsck make that of this. Whatever else it says is e2fsck's to check.
 */
static bool find_copy(const char *device, char ret_block[16], char ret_size[16])
{
	ul_autoclose int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint8_t first[EXT4_SUPERBLOCK], copy[EXT4_SUPERBLOCK];
	uint64_t block;
	uint32_t size;

	if (fd < 0 || !read_superblock(fd, EXT4_SUPERBLOCK, first) ||
	    ul_get_le32(first + EXT4_LOG_BLOCK_SIZE) > EXT4_LOG_MAX)
		return false;
	size = 1024U << ul_get_le32(first + EXT4_LOG_BLOCK_SIZE);
	block = (uint64_t)ul_get_le32(first + EXT4_FIRST_DATA_BLOCK) + ul_get_le32(first + EXT4_BLOCKS_PER_GROUP);
	if (!read_superblock(fd, block * size, copy) || ul_get_le16(copy + EXT4_GROUP) != 1 ||
	    memcmp(copy + EXT4_UUID, first + EXT4_UUID, 16) != 0)
		return false;
	snprintf(ret_block, 16, "%llu", (unsigned long long)block);
	snprintf(ret_size, 16, "%u", size);
	return true;
}

/* Without a copy to start from *status stays as it is. */
static int check_from_copy(const char *program, const char *device, const struct ul_upper_fs *fs, int *status,
			   struct ul_error *err)
{
	char block[16], size[16];
	const char *args[] = {program, fs->fsck_flags, "-b", block, "-B", size, device, NULL};

	if (!find_copy(device, block, size))
		return 0;
	ul_log(UL_LOG_WARNING, "upper: %s does not believe the superblock of %s; it starts from the copy in block %s",
	       fs->fsck, device, block);
	return ul_run(args, what, NULL, status, err);
}

int ul_upper_check(const char *device, const struct ul_upper_fs *fs, bool *ret_ran, struct ul_error *err)
{
	char program[PATH_MAX];
	const char *args[] = {program, fs->fsck_flags, device, NULL};
	int status = 0, r;

	*ret_ran = false;
	if (!fs->fsck)
		return 0;
	if (!ul_find_program(fs->fsck, program)) {
		ul_log(UL_LOG_DEBUG, "upper: %s is not in the initramfs; %s is not checked", fs->fsck, device);
		return 0;
	}
	r = ul_run(args, what, NULL, &status, err);
	if (r == 0 && status == FSCK_FAILED && !strcmp(fs->name, "ext4"))
		r = check_from_copy(program, device, fs, &status, err);
	if (r < 0) {
		if (err)
			err->code = UL_E_UPPER;
		return -UL_E_UPPER;
	}
	if (status & ~FSCK_CORRECTED)
		return ul_error_set(err, UL_E_UPPER, what, device, "Repair it on another machine, or make it anew.",
				    "%s cannot repair it unasked (its status is %d)", fs->fsck, status);
	if (status)
		ul_log(UL_LOG_WARNING, "upper: %s repaired %s on %s", fs->fsck, fs->name, device);
	*ret_ran = true;
	return 0;
}
