#include "common/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { FREE, FILLING, ARMED };

struct ul_leftover {
	atomic_int state;
	int dirfd;
	char path[PATH_MAX];
};

/* Few exist at once. Static, since a signal handler reads it. */
static struct ul_leftover leftovers[8];

struct ul_leftover *ul_leftover_add(int dirfd, const char *path)
{
	size_t size = strlen(path) + 1;

	for (size_t i = 0; size <= PATH_MAX && i < UL_ARRAY_SIZE(leftovers); i++) {
		struct ul_leftover *l = &leftovers[i];
		int free_state = FREE;

		if (!atomic_compare_exchange_strong(&l->state, &free_state, FILLING))
			continue;
		l->dirfd = dirfd;
		memcpy(l->path, path, size);
		atomic_store(&l->state, ARMED);
		return l;
	}
	return NULL;
}

void ul_leftover_drop(struct ul_leftover *l)
{
	if (l)
		atomic_store(&l->state, FREE);
}

void ul_leftovers_remove(void)
{
	int saved = errno;

	for (size_t i = 0; i < UL_ARRAY_SIZE(leftovers); i++)
		if (atomic_load(&leftovers[i].state) == ARMED)
			(void)unlinkat(leftovers[i].dirfd, leftovers[i].path, 0);
	for (size_t i = 0; i < UL_ARRAY_SIZE(leftovers); i++) {
		const struct ul_leftover *l = &leftovers[i];

		if (atomic_load(&l->state) != ARMED || unlinkat(l->dirfd, l->path, AT_REMOVEDIR) == 0)
			continue;
		if (errno == EBUSY && umount2(l->path, MNT_DETACH) == 0)
			(void)unlinkat(l->dirfd, l->path, AT_REMOVEDIR);
	}
	errno = saved;
}
