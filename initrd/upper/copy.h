/*
 * Copies of what somebody may have written while the machine was off, to inodes of their own: directories, files and
 * symlinks with owner, mode, times to the nanosecond, and extended attributes but overlayfs' own. Holes stay holes.
 * Nothing is followed; sockets, pipes and devices are left out; files with several links become several files.
 *
 * Users fill directories of the tree, so none may stop the copy: what passes a bound (entries, room, depth) is left out
 * and named. Files come before directories; of directories those that the caller names first. What is in a directory
 * "per-user" may take half of what is left to its parent, and of that each user an equal share.
 */
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/names.h"

#define UL_COPY_DEPTH   (PATH_MAX / 2) /* directories in each other: what lies deeper has no path */
#define UL_COPY_ENTRIES 1000000u       /* of one copy */
#define UL_COPY_TOLD    16             /* of what is left out, by name */
#define UL_COPY_SPARE   (4u << 20)     /* bytes of the filesystem that are not used up */

/* A directory that comes before all else in its parent, in the order of the rows. */
struct ul_copy_first {
	const char *parent, *name; /* parent: the path from the tree's top; "": the top itself */
	bool whole;                /* bounds do not hold for it: where there is no room the copy fails */
};

/* The first four are given, the rest zero. */
struct ul_copy {
	const char *what, *room; /* for the sentence: what is done, and what to do where there is no room */
	struct ul_error *err;
	uint64_t most; /* entries; UL_COPY_ENTRIES */
	const struct ul_copy_first *first;
	size_t n_first;
	uint64_t entries, bytes, space; /* so far; of their data; of the blocks that these have */
	uint64_t n_left_out;
	struct ul_names left_out; /* the first of them: "PATH: why" */
	bool full;                /* something was left out for want of room */
	uint8_t *piece;
};

/*
 * Copy the directory dirfd/name to dirfd/to, which is not there. -UL_E_UPPER naming the entry; what is copied stays.
 * Free *c afterwards, in any case.
 */
int ul_copy_tree(struct ul_copy *c, int dirfd, const char *name, const char *to);

/* Copy the file dirfd/name to dirfd/to, in the same way. */
int ul_copy_file(struct ul_copy *c, int dirfd, const char *name, const char *to);

/* Forget what was copied, and left out. */
void ul_copy_free(struct ul_copy *c);

/* ---- for copy_tree.c ---- */

/* A directory of the tree that is copied, and the one that is made of it. */
struct ul_copy_pair {
	int from, to;
};

/* One file or symlink; what was begun of it is taken away again. 0 or -errno. */
int ul_copy_entry(struct ul_copy *c, const struct ul_copy_pair *at, const char *name, const struct stat *st);
int ul_copy_fail(struct ul_copy *c, const char *name, int error);
