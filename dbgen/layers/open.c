#include "dbgen/layers/open.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"

#define ASIDE_MAX 100 /* NAME.bad-N; then NAME.bad-RRRRRRRRRRRRRRRR */
#define TRIES     3   /* put aside, made, opened */

#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif

/* A snapshot of btrfs, for one: nothing in it can be changed, nor it be moved. */
static bool make_subvolume_writable(int fd)
{
	uint64_t flags = 0;

	if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0 || !(flags & BTRFS_SUBVOL_RDONLY))
		return false;
	flags &= ~(uint64_t)BTRFS_SUBVOL_RDONLY;
	return ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) == 0;
}

static bool take_flags_off(int dirfd, const char *name)
{
	ul_autoclose int fd = -1;
	bool writable = false;
	struct stat st;
	int flags = 0;

	/* Opening a device or a pipe could do anything; neither has flags that matter. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return false;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && S_ISDIR(st.st_mode))
		writable = make_subvolume_writable(fd);
	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return writable;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 || writable;
}

bool ul_take_flags_off(int dirfd, const char *name)
{
	int saved = errno;
	bool taken = take_flags_off(dirfd, name);

	errno = saved;
	return taken;
}

static bool flags_forbid(int error)
{
	return error == EPERM || error == EACCES || error == EROFS;
}

bool ul_take_flags_off_both(int error, int dirfd, const char *name)
{
	if (!flags_forbid(error))
		return false;
	return ul_take_flags_off(dirfd, name) | ul_take_flags_off(dirfd, ".");
}

/*
 * A directory that hands its project on takes by rename only what is of that project, and calls all else another device
 * (ext4, xfs, f2fs). Anybody may put that on a directory of his own.
 */
static bool stop_handing_on(int fd)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0 || !(attr.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return false;
	attr.fsx_xflags &= ~(uint32_t)FS_XFLAG_PROJINHERIT;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr) == 0;
}

/* What may have been the reason of that error of a rename of dirfd's name into to_fd. false: nothing was there. */
static bool clear_the_way(int error, int dirfd, const char *name, int to_fd)
{
	if (error == EXDEV)
		return stop_handing_on(to_fd);
	return flags_forbid(error) && (ul_take_flags_off_both(error, dirfd, name) | ul_take_flags_off(to_fd, "."));
}

/* Something is taken off before each new try, and there are no more than flags and a project. */
#define RENAME_TRIES 3

static int rename_through(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	for (unsigned int i = 1;; i++) {
		int error;

		if (renameat2(from_fd, from, to_fd, to, flags) == 0)
			return 0;
		error = errno;
		if (i == RENAME_TRIES || !clear_the_way(error, from_fd, from, to_fd))
			return -error;
	}
}

int ul_layer_rename(int from_fd, const char *from, int to_fd, const char *to)
{
	return rename_through(from_fd, from, to_fd, to, RENAME_NOREPLACE);
}

int ul_layer_exchange(int dirfd, const char *one, const char *other)
{
	return rename_through(dirfd, one, dirfd, other, RENAME_EXCHANGE);
}

uint64_t ul_random_number(void)
{
	uint64_t number;
	struct timespec now;

	if (getrandom(&number, sizeof(number), GRND_INSECURE) == sizeof(number))
		return number;
	clock_gettime(CLOCK_REALTIME, &now);
	number = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return number ^ (uint64_t)now.tv_nsec << 32;
}

/* A name that nobody can have waiting: whoever writes the disk can take all those that are counted. */
static void random_name(const char *name, char ret[NAME_MAX + 1])
{
	snprintf(ret, NAME_MAX + 1, "%.200s.bad-%016" PRIx64, name, ul_random_number());
}

int ul_layer_move_aside(int dirfd, const char *name, char ret_aside[NAME_MAX + 1])
{
	int r = -EEXIST;

	for (unsigned int i = 1; r == -EEXIST && i <= ASIDE_MAX + TRIES; i++) {
		if (i <= ASIDE_MAX)
			snprintf(ret_aside, NAME_MAX + 1, "%.200s.bad-%u", name, i);
		else
			random_name(name, ret_aside);
		r = ul_layer_rename(dirfd, name, dirfd, ret_aside);
	}
	return r;
}

/* Whether fd lies on another device than dirfd: a subvolume of btrfs, out of and into which nothing is renamed. */
static bool is_foreign(int dirfd, int fd)
{
	struct stat above, st;

	return fstat(dirfd, &above) == 0 && fstat(fd, &st) == 0 && above.st_dev != st.st_dev;
}

static int open_dir(int dirfd, const char *name, mode_t mode, bool own, int *ret_fd)
{
	char aside[NAME_MAX + 1];
	bool put_aside = false;
	int r = -ENOTDIR;

	(void)ul_take_flags_off(dirfd, ".");
	for (int i = 0; i < TRIES; i++) {
		ul_autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		r = fd < 0 ? -errno : own && is_foreign(dirfd, fd) ? -ENOTDIR : 0;
		if (r == 0) {
			(void)ul_take_flags_off(fd, ".");
			*ret_fd = ul_steal_fd(&fd);
			return put_aside;
		}
		if (r == -ENOENT) {
			if (mkdirat(dirfd, name, mode) < 0)
				return -errno;
		} else if (r == -ENOTDIR || r == -ELOOP) {
			r = ul_layer_move_aside(dirfd, name, aside);
			if (r < 0)
				return r;
			put_aside = true;
		} else {
			return r;
		}
	}
	return r;
}

int ul_layer_dir_open(int dirfd, const char *name, mode_t mode, int *ret_fd)
{
	return open_dir(dirfd, name, mode, false, ret_fd);
}

int ul_layer_dir_own(int dirfd, const char *name, mode_t mode, int *ret_fd)
{
	return open_dir(dirfd, name, mode, true, ret_fd);
}

int ul_layer_remove(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0)
		return 0;
	if (!ul_take_flags_off_both(errno, dirfd, name) || unlinkat(dirfd, name, 0) < 0)
		return -errno;
	return 0;
}
