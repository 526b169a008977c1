/*
 * Names that must not be left behind when a signal ends the program: temporary files and directories, mount points.
 * Whoever makes one adds it, and drops it where it is gone or has its final name. A program whose signal handlers call
 * ul_leftovers_remove leaves none of them; in others the list does nothing.
 */
#pragma once

#include <limits.h>

struct ul_leftover;

/*
 * path is relative to dirfd as in openat(2), and need not exist yet; dirfd stays open until the drop. NULL: the list is
 * full or the path too long, and the name is not looked after. Any thread may call it.
 */
struct ul_leftover *ul_leftover_add(int dirfd, const char *path);

/* NULL is allowed. */
void ul_leftover_drop(struct ul_leftover *leftover);

/* Remove what is in the list: files, then directories, and what is mounted on them. Async-signal-safe. */
void ul_leftovers_remove(void);
