/*
 * A way down a tree: directories, each in the one before it, of which only the last few are kept open. So neither the
 * number of open files nor the stack follows how deep somebody made a tree. Going up again, a directory that was closed
 * is opened as `..` of the one below, and must be the very one that was entered: where somebody moves directories
 * meanwhile, the way is lost, and never leads elsewhere.
 */
#pragma once

#include <sys/types.h>

#include "common/vector.h"

#define UL_DESCENT_OPEN 16 /* directories that are open at a time */

struct ul_descent_level {
	int fd; /* -1: it is closed */
	dev_t dev;
	ino_t ino;
};

/* Zero-initialise it. */
struct ul_descent {
	UL_VECTOR(struct ul_descent_level) levels;
};

/* Go into the directory that fd is open on. fd is taken over, also on failure. 0 or -errno. */
int ul_descent_enter(struct ul_descent *d, int fd);

/* Back to the one above. 0 or -errno (-EBUSY: somebody moved a directory). */
int ul_descent_leave(struct ul_descent *d);

/* The directory that was entered last, open until one that lies deeper is entered or this one left; -1: none. */
int ul_descent_fd(const struct ul_descent *d);

void ul_descent_close(struct ul_descent *d);
