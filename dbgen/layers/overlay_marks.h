/* What overlayfs writes on a directory of its upper layer, read from a disk that somebody may have written. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

struct ul_overlay_marks {
	bool opaque; /* it hides what lower layers have of its name */
	bool copied; /* it was copied up, and not made by somebody: it may lack what the lower one has */
};

/* It stands for "deleted": a character device 0:0. */
bool ul_overlay_is_whiteout(const struct stat *st);

/* The marks of the directory that fd is open on. userxattr: the overlay had that option. 0 or -errno. */
int ul_overlay_marks_read(int fd, bool userxattr, struct ul_overlay_marks *ret);
