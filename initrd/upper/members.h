/* A device that is a part of something else; see members.c. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "initrd/policy/upper_fs.h"

/*
 * fs: what is on the device beside it; NULL: no filesystem. 1: *ret is what libblkid calls it ("linux_raid_member",
 * "LVM2_member", "crypto_LUKS", "swap"); 0: it is not such a part; -errno.
 */
int ul_upper_find_member(int fd, const struct ul_upper_fs *fs, char *ret, size_t size);

/*
 * Whether the disk that the partition `device` lies on is such a part, by a mark outside of every partition: an array
 * of whole disks has its own partition table, which the kernel finds on each half of a mirror, too. 1: *ret is a
 * clause, "the disk that it lies on, /dev/sda, holds isw_raid_member"; 0: no such disk, or nothing of the kind;
 * -errno.
 */
int ul_upper_find_disk_member(const char *sysfs, const char *dev_dir, dev_t device, char *ret, size_t size);
