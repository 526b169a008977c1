/*
 * The one owner in an image that is not root: the store directory belongs to the group nixbld with mode 1775, as
 * Nix wants it where builds run as users of that group. Nix sets group and mode right whenever it opens a store
 * as root, also one that it was told is read-only, and fails where it cannot (Nix 2.26 does). mkfs.erofs has no option
 * for the owner of one file, and a user without rights cannot give a file away, so the group is set in the
 * finished filesystem.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

/*
 * Set the group (up to 65535) of directory path ("nix/store") in the erofs that begins at offset of fd; every
 * directory on the way holds no more than a block. The superblock's checksum is made anew.
 * -UL_E_FILESYSTEM: not what mkfs.erofs makes.
 */
int ul_erofs_set_group(int fd, uint64_t offset, const char *image, const char *path, uint32_t gid,
		       struct ul_error *err);
