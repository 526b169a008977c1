/*
 * The reserve: a file of the upper that holds the room for its next database. Builds fill a disk to its last block;
 * the boot that follows may have to write the database anew, for another image or after a power cut, and must not
 * fail for want of room. It is given up when that happens, and made again as soon as there is plenty. Every boot
 * makes directories (a session, the collector's roots): for these a disk that is full to its last block gets a part
 * of it back.
 */
#include "dbgen/layers/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/open.h"

#define RESERVE "reserve"           /* from the upper's root */
#define SLACK   (UINT64_C(4) << 20) /* bytes beside a database that has grown by a quarter */
#define ROOM    (1 << 20)           /* bytes that a boot must find free */
#define PLENTY  8                   /* times the reserve is free before it is made */

/* The bytes that are really allocated to it; 0: there is no such file. */
static uint64_t size_of_reserve(int upper_fd)
{
	struct stat st;

	if (fstatat(upper_fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

bool ul_reserve_is_there(int upper_fd)
{
	return size_of_reserve(upper_fd) > 0;
}

bool ul_reserve_release(int upper_fd)
{
	return ul_reserve_is_there(upper_fd) && ul_layer_remove(upper_fd, RESERVE) == 0 && syncfs(upper_fd) == 0;
}

/*
 * Whether root finds room. Others are told less: ext4 keeps blocks for root, and counts among its free ones some that
 * it keeps for itself, so it is asked for them; they are given back at once.
 */
static bool has_room(int upper_fd, const struct statfs *fs)
{
	ul_autoclose int fd = -1;

	if ((uint64_t)fs->f_bavail * (uint64_t)fs->f_bsize >= ROOM)
		return true;
	fd = openat(upper_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	return fd >= 0 && fallocate(fd, 0, 0, ROOM) == 0;
}

/*
 * A part. false: that gave no room. What the file claims to hold counts for nothing: one with holes is as large as
 * somebody likes, and one that shares its blocks (a link, a reflink) keeps them.
 */
static bool give_room(int upper_fd, const struct statfs *before)
{
	ul_autoclose int fd = -1;
	struct statfs after;
	struct stat st;

	(void)ul_take_flags_off(upper_fd, RESERVE);
	fd = openat(upper_fd, RESERVE, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= ROOM ||
	    ftruncate(fd, st.st_size - ROOM) < 0 || syncfs(fd) < 0 || fstatfs(fd, &after) < 0)
		return false;
	return after.f_bfree > before->f_bfree || after.f_ffree > before->f_ffree;
}

/* A part first: the rest is for the database. One that is full although that part is free wants something else. */
bool ul_reserve_help(int upper_fd, int error)
{
	struct statfs fs;

	if (!ul_errno_is_full(error))
		return false;
	if (fstatfs(upper_fd, &fs) == 0 && !has_room(upper_fd, &fs) && give_room(upper_fd, &fs))
		return true;
	return ul_reserve_release(upper_fd);
}

static bool throw_away(int upper_fd)
{
	struct ul_trash trash = {.fd = -1};
	int r = ul_trash_open(upper_fd, UL_TRASH, &trash);

	if (r >= 0)
		r = ul_trash_move(&trash, upper_fd, RESERVE);
	ul_trash_close(&trash);
	return r == 0;
}

void ul_reserve_keep(int upper_fd, uint64_t database)
{
	ul_autoclose int fd = -1;
	uint64_t wanted = SLACK + database / 4 * 5;
	struct statfs fs;
	struct stat st;

	if (fstatfs(upper_fd, &fs) < 0)
		return;
	if (!has_room(upper_fd, &fs))
		(void)give_room(upper_fd, &fs);
	/* Nothing of what others find free is taken where there is little of it. */
	if (size_of_reserve(upper_fd) >= wanted || (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / PLENTY < wanted)
		return;
	/* It has another size, or something else has its name. */
	if (fstatat(upper_fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) == 0 && !throw_away(upper_fd))
		return;
	fd = openat(upper_fd, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)wanted) != 0)
		(void)unlinkat(upper_fd, RESERVE, 0);
}
