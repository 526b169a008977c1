/*
 * What is on the upper's device. Before: a device that anybody may have written. After: it is known to be empty, half
 * made by us, a filesystem that the policy permits, or something else; nothing was written. libblkid looks, within
 * bounds; the rules by which a device counts as empty stand here.
 */
#include <blkid/blkid.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/upper/upper.h"
#include "initrd/upper/marker.h"
#include "initrd/upper/members.h"

static const char what[] = "reading the upper's device";

static void cleanup_probe(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static void copy_value(blkid_probe pr, const char *name, char *buf, size_t size)
{
	const char *value = NULL;

	buf[0] = '\0';
	if (blkid_probe_lookup_value(pr, name, &value, NULL) == 0 && value)
		snprintf(buf, size, "%s", value);
}

static void copy_uuid(blkid_probe pr, struct ul_upper_probe *found)
{
	copy_value(pr, "UUID", found->uuid, sizeof(found->uuid));
	for (char *c = found->uuid; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

/*
 * A filesystem whose superblock has a wrong checksum is damaged, but still a filesystem: it is for fsck, not for mkfs.
 * 0: something was found; 1: nothing; -2: more than one thing; -1: I/O, or no memory.
 */
static int probe_superblocks(blkid_probe pr, int fd, const char *const *only)
{
	errno = 0;
	if (blkid_probe_set_device(pr, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(pr, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL |
							  BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM) < 0)
		return -1;
	if (only)
		(void)blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_ONLYIN, (char **)only);
	else
		(void)blkid_probe_enable_partitions(pr, 1);
	return blkid_do_safeprobe(pr);
}

/* The permitted filesystem that stands there, if it is one. */
static int probe_permitted(int fd, const struct ul_policy *p, struct ul_upper_probe *found)
{
	UL_CLEANUP(cleanup_probe) blkid_probe pr = blkid_new_probe();
	const char *names[8] = {NULL};
	char type[32];
	int r;

	for (size_t i = 0; i + 1 < UL_ARRAY_SIZE(names); i++) {
		const struct ul_upper_fs *fs = ul_upper_fs_permitted(p, i);

		if (!fs)
			break;
		names[i] = fs->name;
	}
	r = pr ? probe_superblocks(pr, fd, names) : -1;
	if (r != 0)
		return r;
	copy_value(pr, "TYPE", type, sizeof(type));
	copy_uuid(pr, found);
	copy_value(pr, "LABEL", found->label, sizeof(found->label));
	found->fs = ul_upper_fs_find(type);
	if (!found->fs)
		return 1;
	found->content = UL_UPPER_FILESYSTEM;
	return 0;
}

/* Anything at all: found->holds says what. A filesystem's UUID is kept. */
static int probe_anything(int fd, struct ul_upper_probe *found)
{
	UL_CLEANUP(cleanup_probe) blkid_probe pr = blkid_new_probe();
	char type[64], escaped[80];
	bool table;
	int r = pr ? probe_superblocks(pr, fd, NULL) : -1;

	if (r != 0)
		return r;
	copy_uuid(pr, found);
	copy_value(pr, "TYPE", type, sizeof(type));
	table = !type[0];
	if (table)
		copy_value(pr, "PTTYPE", type, sizeof(type));
	ul_escape_text(escaped, sizeof(escaped), type[0] ? type : "a");
	snprintf(found->holds, sizeof(found->holds), "it holds %s%s", escaped, table ? " partition table" : "");
	return 0;
}

/* Whether a MiB is all zero, or all ones as erased flash reads. 1, 0 or -errno. */
static int is_blank(int fd, uint64_t offset)
{
	ul_autofree uint8_t *bytes = malloc(UL_UPPER_EDGE);
	int r = bytes ? ul_pread_full(fd, bytes, UL_UPPER_EDGE, offset) : -ENOMEM;

	if (r < 0)
		return r;
	return (bytes[0] == 0x00 || bytes[0] == 0xff) && memcmp(bytes, bytes + 1, UL_UPPER_EDGE - 1) == 0;
}

uint64_t ul_upper_marker_offset(uint64_t size)
{
	return (size & ~(uint64_t)(UL_UPPER_EDGE - 1)) - UL_UPPER_EDGE;
}

int ul_upper_marker_read(int fd, uint64_t size, struct ul_upper_marker *ret)
{
	uint8_t bytes[UL_MARKER_SIZE];
	struct ul_upper_marker marker = {0};
	int r;

	if (size < UL_UPPER_SIZE_MIN)
		return 0;
	r = ul_pread_full(fd, bytes, sizeof(bytes), ul_upper_marker_offset(size));
	if (r < 0)
		return r;
	if (memcmp(bytes, UL_MARKER_MAGIC, 16) != 0 || ul_get_le32(bytes + 16) != 1)
		return 0;
	memcpy(marker.filesystem, bytes + 20, sizeof(marker.filesystem) - 1);
	memcpy(marker.uuid, bytes + 36, sizeof(marker.uuid) - 1);
	if (!ul_upper_is_uuid(marker.uuid))
		return 0;
	*ret = marker;
	return 1;
}

/* Neither a permitted filesystem nor anything else that libblkid knows. */
static int probe_nothing(int fd, struct ul_upper_probe *found)
{
	int first = is_blank(fd, 0);
	int last = first < 0 ? first : is_blank(fd, found->size - UL_UPPER_EDGE);

	if (last < 0)
		return last;
	if (first && last) {
		found->content = UL_UPPER_EMPTY;
		return 0;
	}
	snprintf(found->holds, sizeof(found->holds), "its %s MiB is not blank: it holds something unknown",
		 first ? "last" : "first");
	return 0;
}

/* With leave to format: is it empty, or ours and half made? */
static int probe_for_format(int fd, struct ul_upper_probe *found, int permitted)
{
	struct ul_upper_marker marker;
	int half = ul_upper_marker_read(fd, found->size, &marker), r;

	if (half < 0)
		return half;
	r = probe_anything(fd, found);
	if (r == -1)
		return errno ? -errno : -EIO;
	if (permitted == 0 && r == 0 && (!half || strcmp(marker.uuid, found->uuid) != 0))
		return 0;
	found->content = UL_UPPER_FOREIGN;
	if (r == -2)
		snprintf(found->holds, sizeof(found->holds), "it holds signatures of two kinds");
	/* A stale marker, under what somebody put there since, has another UUID. */
	if (half && (r == 1 || (r == 0 && !strcmp(marker.uuid, found->uuid)))) {
		found->content = UL_UPPER_HALF;
		snprintf(found->uuid, sizeof(found->uuid), "%s", marker.uuid);
		return 0;
	}
	return r == 1 ? probe_nothing(fd, found) : 0;
}

/* A part of something else, whatever filesystem shows. 1: it is one, and nothing further of it matters. */
static int probe_member(int fd, struct ul_upper_probe *found)
{
	char type[64], escaped[80];
	int r = ul_upper_find_member(fd, found->fs, type, sizeof(type));

	if (r <= 0)
		return r;
	ul_escape_text(escaped, sizeof(escaped), type);
	found->content = UL_UPPER_MEMBER;
	found->fs = NULL;
	snprintf(found->holds, sizeof(found->holds), "it holds %s", escaped);
	return 1;
}

int ul_upper_probe(int fd, const char *device, const struct ul_policy *p, struct ul_upper_probe *ret,
		   struct ul_error *err)
{
	struct ul_upper_probe found = {.content = UL_UPPER_FOREIGN};
	bool format = p->upper_prepare == UL_UPPER_PREPARE_FORMAT;
	int r = ul_file_size(fd, &found.size), permitted;

	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, NULL, -r);
	if (found.size < UL_UPPER_SIZE_MIN)
		return ul_error_set(err, UL_E_UPPER, what, device, "Give it a larger device.",
				    "it has %llu bytes, an upper needs 16 MiB", (unsigned long long)found.size);
	permitted = probe_permitted(fd, p, &found);
	if (permitted == -1)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", errno ? errno : EIO);
	r = probe_member(fd, &found);
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", -r);
	if (r == 1) {
		*ret = found;
		return 0;
	}
	if (permitted == -2) {
		found.content = UL_UPPER_FOREIGN;
		snprintf(found.holds, sizeof(found.holds), "it holds signatures of two kinds");
	} else if (format) {
		r = probe_for_format(fd, &found, permitted);
		if (r < 0)
			return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", -r);
	} else if (permitted == 1) {
		snprintf(found.holds, sizeof(found.holds),
			 "it holds none of the filesystems that [upper] filesystem permits");
	}
	*ret = found;
	return 0;
}
