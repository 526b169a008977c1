#include "dbgen/layers/open.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define ASIDE_MAX 1000 /* NAME.bad-N */
#define TRIES     3    /* put aside, made, opened */

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

static int move_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	(void)ul_take_flags_off(dirfd, name);
	for (unsigned int i = 1; i <= ASIDE_MAX; i++) {
		snprintf(aside, sizeof(aside), "%.200s.bad-%u", name, i);
		if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int ul_layer_dir_open(int dirfd, const char *name, mode_t mode, int *ret_fd)
{
	bool aside = false;
	int r = -ENOTDIR;

	(void)ul_take_flags_off(dirfd, ".");
	for (int i = 0; i < TRIES; i++) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0) {
			(void)ul_take_flags_off(fd, ".");
			*ret_fd = fd;
			return aside;
		}
		r = -errno;
		if (r == -ENOENT) {
			if (mkdirat(dirfd, name, mode) < 0)
				return -errno;
		} else if (r == -ENOTDIR || r == -ELOOP) {
			r = move_aside(dirfd, name);
			if (r < 0)
				return r;
			aside = true;
		} else {
			return r;
		}
	}
	return r;
}
