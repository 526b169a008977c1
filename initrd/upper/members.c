/*
 * Whether a device is a part of something else: of an array, a volume group, a pool, a cache; or encrypted, or swap.
 * Many of these have their mark at the device's end, so that a filesystem shows at its start; writing to it would
 * make the parts differ, silently. libblkid knows the marks.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/file.h"
#include "initrd/upper/members.h"

#define FRONT (1u << 20) /* bytes: a mark before this, and a filesystem beside it, are told apart by nobody */

static void cleanup_probe(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static const char *value_of(blkid_probe pr, const char *name)
{
	const char *value = NULL;

	return blkid_probe_lookup_value(pr, name, &value, NULL) == 0 ? value : NULL;
}

/*
 * A mark within the filesystem, away from its start, is the contents of some file: whoever may fill the disk could
 * write one. An array's own lies behind what it offers.
 */
static bool is_contents(blkid_probe pr, uint64_t fs_end)
{
	const char *text = value_of(pr, "SBMAGIC_OFFSET");
	uint64_t offset;

	return text && ul_parse_number(text, &offset) && offset >= FRONT && offset < fs_end;
}

static int find_mark(blkid_probe pr, uint64_t fs_end, char *ret, size_t size)
{
	int r;

	errno = 0;
	while ((r = blkid_do_probe(pr)) == 0) {
		const char *type = value_of(pr, "TYPE");

		if (!type || is_contents(pr, fs_end))
			continue;
		snprintf(ret, size, "%s", type);
		return 1;
	}
	return r == 1 ? 0 : errno ? -errno : -EIO;
}

/* Bytes from the device's start that the filesystem says it takes; 0: that cannot be told. */
static uint64_t end_of(int fd, const struct ul_upper_fs *fs)
{
	static const uint64_t at[] = {
		[UL_UPPER_EXT4] = 1024, [UL_UPPER_XFS] = 0, [UL_UPPER_BTRFS] = 65536, [UL_UPPER_F2FS] = 1024};
	enum ul_upper_filesystem kind = fs ? (enum ul_upper_filesystem)(fs - ul_upper_filesystems) : UL_UPPER_EXT4;
	uint64_t blocks = 0, size = 0, end;
	uint8_t b[512];

	if (!fs || ul_pread_full(fd, b, sizeof(b), at[kind]) < 0)
		return 0;
	switch (kind) {
	case UL_UPPER_EXT4:
		blocks = ul_get_le32(b + 0x04);
		/* The feature 64bit, and the count's upper half. */
		if (ul_get_le32(b + 0x60) & 0x80)
			blocks |= (uint64_t)ul_get_le32(b + 0x150) << 32;
		size = UINT64_C(1024) << (ul_get_le32(b + 0x18) & 7);
		break;
	case UL_UPPER_XFS:
		size = ul_get_be32(b + 0x04);
		blocks = ul_get_be64(b + 0x08);
		break;
	case UL_UPPER_BTRFS:
		size = 1;
		blocks = ul_get_le64(b + 0x70);
		break;
	case UL_UPPER_F2FS:
		size = UINT64_C(1) << (ul_get_le32(b + 0x10) & 15);
		blocks = ul_get_le64(b + 0x24);
		break;
	}
	return __builtin_mul_overflow(blocks, size, &end) ? 0 : end;
}

int ul_upper_find_member(int fd, const struct ul_upper_fs *fs, char *ret, size_t size)
{
	/* To libblkid a filesystem. */
	static char zfs[] = "zfs_member";
	char *const named[] = {zfs, NULL};
	uint64_t fs_end = end_of(fd, fs);
	int r = 0;

	for (int round = 0; r == 0 && round < 2; round++) {
		UL_CLEANUP(cleanup_probe) blkid_probe pr = blkid_new_probe();

		if (!pr)
			return -ENOMEM;
		errno = 0;
		if (blkid_probe_set_device(pr, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(pr, 1) < 0 ||
		    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC |
								  BLKID_SUBLKS_BADCSUM) < 0 ||
		    (round == 0
			     ? blkid_probe_filter_superblocks_usage(
				       pr, BLKID_FLTR_ONLYIN, BLKID_USAGE_RAID | BLKID_USAGE_CRYPTO | BLKID_USAGE_OTHER)
			     : blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_ONLYIN, (char **)named)) < 0)
			return errno ? -errno : -EIO;
		r = find_mark(pr, fs_end, ret, size);
	}
	return r;
}
