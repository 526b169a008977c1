/*
 * sysfs, as the kernel documents it (Documentation/ABI/stable/sysfs-block): /sys/dev/block/MAJOR:MINOR is the
 * disk; each partition is a directory inside it with the files `partition` (number), `start` and `size`
 * (512-byte sectors, whatever the device's own sectors are) and `uevent`, whose DEVNAME= is the node's path
 * below /dev. Names such as nvme0n1p1, mmcblk0p1 or cciss/c0d0p1 need not be understood.
 */
#include "verity/open/partition_device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/number.h"

#define ATTRIBUTE_MAX 4096 /* bytes of a sysfs file: a page */

static const char WHAT[] = "finding the partition's device";

/* A decimal attribute of the directory. false: there is no such file, or it does not hold a number. */
static bool read_number(int dirfd, const char *entry, const char *attribute, uint64_t *ret)
{
	char path[NAME_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", entry, attribute);
	return ul_read_number_file(dirfd, path, ret) == 0;
}

/* The node of a partition's directory; NULL: no memory, or sysfs does not say. */
static char *device_path(int dirfd, const char *entry, const char *dev_dir)
{
	ul_autobuffer struct ul_buffer text = {0};
	char path[NAME_MAX + 32], *save = NULL;

	snprintf(path, sizeof(path), "%s/uevent", entry);
	if (ul_read_file(dirfd, path, ATTRIBUTE_MAX, &text) < 0 || !ul_buffer_string(&text))
		return NULL;
	for (char *line = strtok_r((char *)text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "DEVNAME=", 8) == 0 && line[8])
			return ul_path_join(dev_dir, line + 8);
	return NULL;
}

static int take_entry(int dirfd, const char *entry, const char *dev_dir, const struct ul_partition *p, char **ret,
		      struct ul_error *err)
{
	static const char todo[] = "Have the kernel read the table again (blockdev --rereadpt).";
	ul_autofree char *path = device_path(dirfd, entry, dev_dir);
	uint64_t start, size;

	if (!read_number(dirfd, entry, "start", &start) || !read_number(dirfd, entry, "size", &size) ||
	    start != p->offset / 512 || size != p->size / 512)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, entry, todo,
				    "the kernel's partition %u is not the one of the table", p->number);
	if (!path || access(path, F_OK) < 0)
		return ul_error_set(err, UL_E_DEVICE, WHAT, path ? path : entry, NULL,
				    "the device node is not there (yet)");
	*ret = ul_steal(path);
	return 0;
}

/* The disk's directory, to which sysfs has a symlink; NULL with errno. path: PATH_MAX bytes. */
static DIR *open_disk(const char *sysfs, dev_t disk, char *path)
{
	DIR *dir = NULL;
	int fd, r;

	snprintf(path, PATH_MAX, "%s/dev/block/%u:%u", sysfs, major(disk), minor(disk));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : ul_dir_of(fd, &dir);
	errno = -r;
	return dir;
}

int ul_partition_device(const char *sysfs, const char *dev_dir, dev_t disk, const struct ul_partition *p, char **ret,
			struct ul_error *err)
{
	char path[PATH_MAX];
	ul_autodir DIR *dir = open_disk(sysfs, disk, path);
	struct dirent *entry;
	uint64_t number;
	int r;

	if (!dir)
		return ul_error_errno(err, UL_E_DEVICE, WHAT, path, "Mount /sys.", errno);
	while ((r = ul_dir_next(dir, &entry)) > 0)
		if (read_number(dirfd(dir), entry->d_name, "partition", &number) && number == p->number)
			return take_entry(dirfd(dir), entry->d_name, dev_dir, p, ret, err);
	if (r < 0)
		return ul_error_errno(err, UL_E_DEVICE, WHAT, path, NULL, -r);
	return ul_error_set(err, UL_E_DEVICE, WHAT, path, NULL, "the kernel has made no device for partition %u (yet)",
			    p->number);
}

size_t ul_partition_devices(const char *sysfs, const char *dev_dir, dev_t disk,
			    void (*fn)(void *context, const char *device), void *context)
{
	char path[PATH_MAX];
	ul_autodir DIR *dir = open_disk(sysfs, disk, path);
	struct dirent *entry;
	uint64_t number;
	size_t n = 0;

	/* What sysfs does not list it does not tell of. */
	while (dir && ul_dir_next_readable(dir, &entry)) {
		ul_autofree char *device = NULL;

		if (!read_number(dirfd(dir), entry->d_name, "partition", &number))
			continue;
		n++;
		device = device_path(dirfd(dir), entry->d_name, dev_dir);
		if (device)
			fn(context, device);
	}
	return n;
}

int ul_partition_disk(const char *sysfs, const char *dev_dir, dev_t partition, char **ret, dev_t *ret_disk)
{
	ul_autobuffer struct ul_buffer text = {0};
	char path[PATH_MAX];
	ul_autodir DIR *dir = open_disk(sysfs, partition, path);
	uint64_t number, major_of, minor_of;
	const char *at;
	char *device;

	/* Beside a partition's own attributes, "..", are those of its disk. */
	if (!dir || !read_number(dirfd(dir), ".", "partition", &number) ||
	    ul_read_file(dirfd(dir), "../dev", ATTRIBUTE_MAX, &text) < 0)
		return -ENXIO;
	at = ul_buffer_string(&text);
	if (!at || !ul_take_number(&at, &major_of) || *at++ != ':' || !ul_take_number(&at, &minor_of))
		return -ENXIO;
	device = device_path(dirfd(dir), "..", dev_dir);
	if (!device)
		return -ENXIO;
	*ret = device;
	*ret_disk = makedev((unsigned int)major_of, (unsigned int)minor_of);
	return 0;
}

bool ul_partition_covers(const char *sysfs, dev_t disk, uint64_t offset)
{
	char path[PATH_MAX];
	ul_autodir DIR *dir = open_disk(sysfs, disk, path);
	struct dirent *entry;
	uint64_t number, start, size;

	while (dir && ul_dir_next_readable(dir, &entry))
		if (read_number(dirfd(dir), entry->d_name, "partition", &number) &&
		    read_number(dirfd(dir), entry->d_name, "start", &start) &&
		    read_number(dirfd(dir), entry->d_name, "size", &size) && offset / 512 >= start &&
		    offset / 512 - start < size)
			return true;
	return false;
}
