/*
 * Copies of what somebody may have written while the machine was off, to inodes of their own: directories, files and
 * symlinks with owner, mode, times to the nanosecond, and extended attributes but overlayfs' own. Holes stay holes.
 * Nothing is followed; sockets, pipes and devices are left out; files with several links become several files.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

#define UL_COPY_DEPTH   64u      /* directories in each other; two descriptors each */
#define UL_COPY_ENTRIES 1000000u /* of one copy */

struct ul_copy {
	const char *what, *room; /* for the sentence: what is done, and what to do where there is no room */
	struct ul_error *err;
	uint32_t entries; /* so far */
	uint64_t bytes;   /* of their data */
	uint8_t *piece;
};

/* Copy the directory dirfd/name to dirfd/to, which is not there. -UL_E_UPPER naming the entry; what is copied stays. */
int ul_copy_tree(struct ul_copy *c, int dirfd, const char *name, const char *to);

/* Copy the file dirfd/name to dirfd/to, in the same way. */
int ul_copy_file(struct ul_copy *c, int dirfd, const char *name, const char *to);
