/*
 * The reserve: a file of the upper that holds the room for its next database. Builds fill a disk to its last block;
 * the boot that follows may have to write the database anew, for another image or after a power cut, and must not
 * fail for want of room. It is given up when that happens, and made again as soon as there is plenty. Every boot
 * makes directories (a session, the collector's roots): for these a disk that is full to its last block gets a part
 * of it back.
 */
#include "dbgen/reconcile/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbgen/reconcile/quarantine.h"

#define RESERVE "reserve"
#define SLACK   (UINT64_C(4) << 20) /* bytes beside a database that has grown by a quarter */
#define ROOM    (1 << 20)           /* bytes that a boot must find free */
#define PLENTY  8                   /* times the reserve is free before it is made */

/* The bytes that are really allocated to it; 0: there is no such file. */
static uint64_t size_of_reserve(const struct ul_upper_dir *u)
{
	struct stat st;

	if (fstatat(u->fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

bool ul_reserve_release(struct ul_upper_dir *u)
{
	return size_of_reserve(u) > 0 && unlinkat(u->fd, RESERVE, 0) == 0 && syncfs(u->fd) == 0;
}

static void give_room(const struct ul_upper_dir *u)
{
	ul_autoclose int fd = openat(u->fd, RESERVE, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > ROOM &&
	    ftruncate(fd, st.st_size - ROOM) == 0)
		(void)syncfs(fd);
}

void ul_reserve_keep(struct ul_upper_dir *u, uint64_t database)
{
	ul_autoclose int fd = -1;
	uint64_t wanted = SLACK + database / 4 * 5;
	struct statvfs fs;
	struct stat st;

	if (fstatvfs(u->fd, &fs) < 0)
		return;
	if ((uint64_t)fs.f_bavail * fs.f_frsize < ROOM)
		give_room(u);
	if (size_of_reserve(u) >= wanted || (uint64_t)fs.f_bavail * fs.f_frsize / PLENTY < wanted)
		return;
	/* It has another size, or something else has its name. */
	if (fstatat(u->fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) == 0 && ul_upper_dir_discard(u, u->fd, RESERVE) < 0)
		return;
	fd = openat(u->fd, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)wanted) != 0)
		(void)unlinkat(u->fd, RESERVE, 0);
}
