/* A device that is a part of something else; see members.c. */
#pragma once

#include <stddef.h>

#include "initrd/policy/upper_fs.h"

/*
 * fs: what is on the device beside it; NULL: no filesystem. 1: *ret is what libblkid calls it
 * ("linux_raid_member", "LVM2_member", "crypto_LUKS", "swap"); 0: it is no such part; -errno.
 */
int ul_upper_find_member(int fd, const struct ul_upper_fs *fs, char *ret, size_t size);
