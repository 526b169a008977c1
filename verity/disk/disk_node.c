#include "verity/disk/disk_node.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

#define LOCK_TRIES 30 /* of a tenth of a second */

bool ul_disk_is_same(const struct stat *a, const struct stat *b)
{
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
		return false;
	if (S_ISBLK(a->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int ul_disk_lock(int fd)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

	for (int tries = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}
