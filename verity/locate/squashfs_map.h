/*
 * The large parts of a squashfs, from its superblock (the Linux kernel's fs/squashfs/squashfs_fs.h): which table
 * holds a block, or that it is files' contents. Whose contents the compressed inode table knows, and that is not read.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

/*
 * Tell each part's place: "superblock", "inode table" and so on. size: of the range at offset of fd.
 * -UL_E_FILESYSTEM: no squashfs; -UL_E_SYSTEM.
 */
int ul_squashfs_map(int fd, uint64_t offset, uint64_t size, const char *object,
		    void (*found)(void *user, const char *name, uint64_t at, uint64_t len), void *user,
		    struct ul_error *err);
