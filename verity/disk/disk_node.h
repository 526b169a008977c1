/* What every writer to a disk, or to a file that stands for one, asks first. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/* Whether both are one block device, by whatever node, or one file. */
bool ul_disk_is_same(const struct stat *a, const struct stat *b);

/*
 * Hold the lock that systemd's rule wants of who changes a block device (BLOCK_DEVICE_LOCKING); it ends with fd. udev
 * holds one while it looks at a device, for less than is waited for here, and looks at none that has one. 0;
 * -EWOULDBLOCK: another program holds it; -errno.
 */
int ul_disk_lock(int fd);
