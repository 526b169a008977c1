/*
 * trash/: what is to be deleted, and is not waited for. A whole tree goes there by one rename; a bounded number of
 * files is removed at each boot.
 *
 * A directory in the trash is not descended into: the files that it holds are unlinked, and the directories that it
 * holds are renamed up into the trash themselves. So neither depth nor the number of open files follows what somebody
 * made. Nothing is followed, and nothing outside the trash is removed.
 *
 * Subvolumes of btrfs get there, too: snapshots of somebody's, or a var/ that is one. A rename moves a subvolume, but
 * no directory out of one; so the directories in a subvolume are renamed up to its own top.
 */
#pragma once

#include <stdbool.h>

#define UL_TRASH_AT_A_BOOT 10000 /* files that one boot removes before the sessions are joined, and as many after */

struct ul_trash {
	int fd;             /* -1: not open */
	unsigned long next; /* the number that is tried first as a name */
	bool inner;         /* it is a subvolume in the trash, which stands for it */
};

/* Open NAME below dirfd, as ul_layer_dir_own does (open.h). 1: something was put aside; 0; -errno. */
int ul_trash_open(int dirfd, const char *name, struct ul_trash *ret);
void ul_trash_close(struct ul_trash *t);

/*
 * Rename dirfd/name into the trash, whatever it is. Flags that forbid it (immutable, append only, read-only) are taken
 * off where that is what it takes. 0 or -errno (-ENOENT: there is no such entry).
 */
int ul_trash_move(struct ul_trash *t, int dirfd, const char *name);

/* Remove at most `most` files. *ret_empty: nothing is left. 0 or -errno of the directory itself. */
int ul_trash_empty(struct ul_trash *t, unsigned int most, bool *ret_empty);
