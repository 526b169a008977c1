/*
 * The large parts of a squashfs, from its superblock (the Linux kernel's fs/squashfs/squashfs_fs.h): which table
 * holds a block, or that it is files' contents. Whose contents the compressed inode table knows, and that is not read.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "verity/open/slots.h"

/*
 * Tell each part's place: "superblock", "inode table" and so on. fd is open on data->device (for messages).
 * -UL_E_FILESYSTEM: no squashfs; -UL_E_SYSTEM.
 */
int ul_squashfs_map(int fd, const struct ul_extent *data,
		    void (*found)(void *user, const char *name, uint64_t at, uint64_t len), void *user,
		    struct ul_error *err);
