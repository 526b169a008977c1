/*
 * A disk that exists, block device or file that stands for one, as the target of an installation: opened for one
 * program alone, or refused; then written so that what was told to be there is there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/error.h"

struct ul_device {
	const char *path; /* borrowed */
	int fd;           /* -1: closed */
	struct stat st;
	bool is_block;
	uint64_t size;   /* bytes, whole sectors */
	uint32_t sector; /* bytes: 512 or 4096 */

	/* The stretch that the disk is writing, and the one before it, which is waited for: bytes. */
	uint64_t begin, len, before, before_len;
};

struct ul_device_demands {
	uint32_t sector;         /* bytes; 0: a block device's own, 512 for a file */
	const char *system_disk; /* what the running system was started from; NULL: nobody knows */
};

/*
 * Refused: what is neither; a partition; what is mounted, swap, a part of an array or volume group, or the system's
 * own; what is read-only, or somebody else has locked; other sectors than those that are demanded. *ret is to be closed
 * in any case. -UL_E_INPUT: another device is to be given; -UL_E_SYSTEM: it cannot be written now. Nothing was written.
 */
int ul_device_open(const char *path, const struct ul_device_demands *demands, const char *what, struct ul_device *ret,
		   struct ul_error *err);
void ul_device_close(struct ul_device *device);

/* Whether a path names the same disk or file. One that does not exist is not the same. */
bool ul_device_is(const struct ul_device *device, const char *path);

/*
 * Write; zeros are given back to the disk where it then reads zeros. Not more than a few MiB wait to be written, so
 * that the progress is that of the disk. device: a struct ul_device. 0 or -errno.
 */
int ul_device_put(void *device, const uint8_t *bytes, size_t len, uint64_t offset);

/* Write zeros. 0 or -errno. */
int ul_device_zero(struct ul_device *device, uint64_t offset, uint64_t len);

/* After it, what was written survives a power cut. 0 or -errno. */
int ul_device_sync(struct ul_device *device);

/* After ul_device_sync: forget what the kernel has in memory, so that what is read is the disk's. 0 or -errno. */
int ul_device_forget(struct ul_device *device);

/*
 * Have the kernel read the partition table; of a file, and of a device that has no partitions, nothing is asked. 0 or
 * -errno.
 */
int ul_device_reread(struct ul_device *device);
