/* From a partition of a table to the kernel's block device for it, by sysfs and never by a guessed name. */
#pragma once

#include <sys/types.h>

#include "verity/format/gpt.h"

/*
 * Path, below dev_dir ("/dev"), of the device of disk's partition *p. sysfs ("/sys") and dev_dir are inputs so
 * that tests can make them up. *ret is owned by the caller. -UL_E_DEVICE: the kernel has not made it (yet);
 * -UL_E_PARTITIONS: the kernel's partition of that number lies elsewhere.
 */
int ul_partition_device(const char *sysfs, const char *dev_dir, dev_t disk, const struct ul_partition *p, char **ret,
			struct ul_error *err);

/*
 * Call fn with the device of each partition that the kernel has made of disk, of whatever table. Returns their number;
 * a partition that sysfs does not tell of is not counted.
 */
size_t ul_partition_devices(const char *sysfs, const char *dev_dir, dev_t disk,
			    void (*fn)(void *context, const char *device), void *context);

/*
 * The device of the whole disk that a partition is on, and its number. 0: *ret (owned by the caller) and *ret_disk are
 * set; -ENXIO: the device is not a partition, or sysfs does not tell; -ENOMEM.
 */
int ul_partition_disk(const char *sysfs, const char *dev_dir, dev_t partition, char **ret, dev_t *ret_disk);

/*
 * Whether this byte of the disk is known to lie in a partition that the kernel has made of it. What sysfs does not list
 * covers nothing: a mark there counts, and the disk is sooner refused.
 */
bool ul_partition_covers(const char *sysfs, dev_t disk, uint64_t offset);
