/* Files and directories of the upper, where something else may stand in their place. */
#pragma once

#include "dbgen/reconcile/upper_dir.h"

/* Move an entry of dirfd into the quarantine, and report why. */
int ul_upper_dir_move_away(struct ul_upper_dir *u, int dirfd, const char *name, const char *why);

/* Move away what stands in the way of a file of this name, or of its temporary one, and is not a file. */
int ul_upper_dir_make_way(struct ul_upper_dir *u, int dirfd, const char *name);

/* Write a file of the upper's own folder whole, or leave the old one. text: NULL where there was no memory for it. */
int ul_upper_dir_write(struct ul_upper_dir *u, const char *name, const char *text);

/* Whether name is a file. *ret_size: its bytes; -1: it is not there. Anything else of that name is moved away. */
int ul_upper_dir_check_file(struct ul_upper_dir *u, int dirfd, const char *name, int64_t *ret_size);

/*
 * Open a directory; anything else of that name is moved away. *ret_fd: -1 where there is no such directory (any
 * more).
 */
int ul_upper_dir_open(struct ul_upper_dir *u, int dirfd, const char *name, int *ret_fd);
