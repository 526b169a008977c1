/*
 * Whether a device is a part of something else: of an array, a volume group, a pool, a cache; or encrypted, or swap.
 * Many of these have their mark at the device's end, so that a filesystem shows at its start; writing to it would
 * make the parts differ, silently. libblkid knows the marks.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/file.h"
#include "initrd/upper/members.h"
#include "verity/format/gpt.h"
#include "verity/open/partition_device.h"

#define FRONT        (1u << 20)  /* bytes: a mark before this, and a filesystem beside it, are told apart by nobody */
#define RESERVED_MAX (64u << 20) /* bytes between an array's end and its mark: DDF keeps 32 MiB, others less */

static void cleanup_probe(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static const char *value_of(blkid_probe pr, const char *name)
{
	const char *value = NULL;

	return blkid_probe_lookup_value(pr, name, &value, NULL) == 0 ? value : NULL;
}

/* Which marks do not count, by where they lie on the device. */
struct place {
	bool (*is_contents)(const struct place *place, uint64_t offset);
	uint64_t fs_end; /* bytes; in_filesystem */
	const char *sysfs;
	dev_t disk; /* behind_table */
	uint64_t table_end;
};

/*
 * A mark within the filesystem, away from its start, is the contents of some file: whoever may fill the disk could
 * write one. An array's own lies behind what it offers.
 */
static bool in_filesystem(const struct place *place, uint64_t offset)
{
	return offset >= FRONT && offset < place->fs_end;
}

/*
 * An array's table ends just before the array's mark. What lies in a partition is its contents; what lies before the
 * table's end, or far behind it, was there before the table: an image was written to a disk that had another life.
 */
static bool not_of_this_table(const struct place *place, uint64_t offset)
{
	if (place->table_end && (offset < place->table_end || offset - place->table_end > RESERVED_MAX))
		return true;
	return offset < FRONT || ul_partition_covers(place->sysfs, place->disk, offset);
}

static bool is_contents(blkid_probe pr, const struct place *place)
{
	const char *text = value_of(pr, "SBMAGIC_OFFSET");
	uint64_t offset;

	return text && ul_parse_number(text, &offset) && place->is_contents(place, offset);
}

static int find_mark(blkid_probe pr, const struct place *place, char *ret, size_t size)
{
	int r;

	errno = 0;
	while ((r = blkid_do_probe(pr)) == 0) {
		const char *type = value_of(pr, "TYPE");

		if (!type || is_contents(pr, place))
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

static int probe_marks(int fd, const struct place *place, char *ret, size_t size)
{
	/* To libblkid a filesystem. */
	static char zfs[] = "zfs_member";
	char *const named[] = {zfs, NULL};
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
		r = find_mark(pr, place, ret, size);
	}
	return r;
}

int ul_upper_find_member(int fd, const struct ul_upper_fs *fs, char *ret, size_t size)
{
	struct place place = {.is_contents = in_filesystem, .fs_end = end_of(fd, fs)};

	return probe_marks(fd, &place, ret, size);
}

int ul_upper_find_disk_member(const char *sysfs, const char *dev_dir, dev_t device, char *ret, size_t size)
{
	struct place place = {.is_contents = not_of_this_table, .sysfs = sysfs};
	ul_autofree char *disk = NULL;
	ul_autoclose int fd = -1;
	struct ul_gpt gpt = {0};
	struct ul_error err;
	char type[64];
	int r = ul_partition_disk(sysfs, dev_dir, device, &disk, &place.disk);

	if (r < 0)
		return r == -ENXIO ? 0 : r;
	fd = open(disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* No GPT, or a damaged one: then only the partitions tell what is contents. */
	if (ul_gpt_read(fd, disk, &gpt, &err) == 0)
		place.table_end = gpt.end;
	ul_gpt_free(&gpt);
	r = probe_marks(fd, &place, type, sizeof(type));
	if (r == 1)
		snprintf(ret, size, "the disk that it lies on, %s, holds %s", disk, type);
	return r;
}
