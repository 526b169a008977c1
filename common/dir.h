/*
 * Reading a directory, so that an error is not taken for its end:
 *
 *     ul_autodir DIR *dir = NULL;
 *     struct dirent *entry;
 *
 *     r = ul_dir_open(parent, "name", &dir);
 *     while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
 *             r = look_at(dirfd(dir), entry->d_name);
 *     (r < 0: the directory could not be read, or look_at failed)
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/names.h"

/*
 * Open a directory below dirfd, without following a symlink in its last component. 0 or -errno (-ENOTDIR or -ELOOP:
 * something else has that name).
 */
int ul_dir_open(int dirfd, const char *name, DIR **ret);

/* Read the directory that fd is open on, from its start. fd is taken over, also on failure. 0 or -errno. */
int ul_dir_of(int fd, DIR **ret);

/*
 * The next entry but "." and "..", valid until the next call. 1: *ret is it; 0: there are no more; -errno. A caller
 * keeps the result: `> 0` alone takes an error for the end (tests/lint/owners.txt).
 */
int ul_dir_next(DIR *dir, struct dirent **ret) __attribute__((warn_unused_result));

/*
 * The next entry, for a caller to whom what cannot be listed is as good as not there, and which says why it is. true:
 * *ret is it; false: there are no more, or an error.
 */
bool ul_dir_next_readable(DIR *dir, struct dirent **ret);

/* All names of the directory that fd is open on, but "." and ".."; it is closed again. 0 or -errno. */
int ul_dir_names(int fd, struct ul_names *ret);

static inline void ul_cleanup_closedir(DIR **dir)
{
	int saved = errno;

	if (*dir)
		closedir(*dir);
	errno = saved;
}

#define ul_autodir UL_CLEANUP(ul_cleanup_closedir)
