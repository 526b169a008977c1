/*
 * The reserve: a file of the upper that holds the room for its next database. Builds fill a disk to its last block; the
 * boot that follows may have to write the database anew, for another image or after a power cut, and must not fail for
 * want of room. It is given up when that happens, and made again as soon as there is plenty.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbgen/reconcile/internal.h"

#define RESERVE "reserve"
#define SLACK   (UINT64_C(4) << 20) /* bytes beside a database that has grown by a quarter */
#define PLENTY  8                   /* times the reserve is free before it is made */

/* What is there and really allocated, in bytes; 0: nothing that is one. */
static uint64_t size_of_reserve(const struct ul_rc *c)
{
	struct stat st;

	if (fstatat(c->o->upper_fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

bool ul_rc_reserve_release(struct ul_rc *c)
{
	return size_of_reserve(c) > 0 && unlinkat(c->o->upper_fd, RESERVE, 0) == 0 && syncfs(c->o->upper_fd) == 0;
}

void ul_rc_reserve_keep(struct ul_rc *c)
{
	ul_autoclose int fd = -1;
	uint64_t wanted = SLACK;
	struct statvfs fs;
	struct stat st;

	if (c->db_fd >= 0 && fstatat(c->db_fd, "db.sqlite", &st, AT_SYMLINK_NOFOLLOW) == 0)
		wanted += (uint64_t)st.st_size / 4 * 5;
	if (size_of_reserve(c) >= wanted || fstatvfs(c->o->upper_fd, &fs) < 0 ||
	    (uint64_t)fs.f_bavail * fs.f_frsize / PLENTY < wanted)
		return;
	/* Of another size, or something else of this name. */
	if (fstatat(c->o->upper_fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ul_rc_discard(c, c->o->upper_fd, RESERVE) < 0)
		return;
	fd = openat(c->o->upper_fd, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)wanted) != 0)
		(void)unlinkat(c->o->upper_fd, RESERVE, 0);
}
