/* Cleanup by scope, as in systemd and bubblewrap: what a function opens, it closes on every path. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UL_CLEANUP(f) __attribute__((cleanup(f)))

static inline void ul_cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Cleanup preserves errno: it runs between the failing call and the caller who reads its errno. */
static inline void ul_cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void ul_cleanup_fclose(FILE **f)
{
	int saved = errno;

	if (*f)
		fclose(*f);
	errno = saved;
}

#define ul_autofree   UL_CLEANUP(ul_cleanup_free)
#define ul_autoclose  UL_CLEANUP(ul_cleanup_close)
#define ul_autofclose UL_CLEANUP(ul_cleanup_fclose)

/* Take the value out of an auto-cleaned variable: ret = ul_steal(p). */
#define ul_steal(p)                             \
	__extension__({                         \
		__typeof__(p) ul_stolen_ = (p); \
		(p) = NULL;                     \
		ul_stolen_;                     \
	})

static inline int ul_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define UL_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
