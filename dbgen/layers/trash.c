#include "dbgen/layers/trash.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"

#define ASIDE_MAX 1000 /* NAME.bad-N */

bool ul_take_flags_off(int dirfd, const char *name)
{
	ul_autoclose int fd = -1;
	struct stat st;
	int flags = 0;

	/* Opening a device or a pipe could do anything; neither has flags that matter. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return false;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return false;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static int move_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	for (unsigned int i = 1; i <= ASIDE_MAX; i++) {
		snprintf(aside, sizeof(aside), "%.200s.bad-%u", name, i);
		if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int ul_trash_open(int dirfd, const char *name, struct ul_trash *ret)
{
	for (int attempt = 0; attempt < 3; attempt++) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;

		if (fd >= 0) {
			*ret = (struct ul_trash){.fd = fd};
			return 0;
		}
		if (errno == ENOENT)
			r = mkdirat(dirfd, name, 0700) < 0 ? -errno : 0;
		else if (errno == ENOTDIR || errno == ELOOP)
			r = move_aside(dirfd, name);
		else
			r = -errno;
		if (r < 0)
			return r;
	}
	return -ENOTDIR;
}

void ul_trash_close(struct ul_trash *t)
{
	ul_cleanup_close(&t->fd);
	t->fd = -1;
}

static int rename_free(struct ul_trash *t, int dirfd, const char *name)
{
	char target[32];

	do {
		snprintf(target, sizeof(target), "%lu", t->next++);
		if (renameat2(dirfd, name, t->fd, target, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return -errno;
}

int ul_trash_move(struct ul_trash *t, int dirfd, const char *name)
{
	int r = rename_free(t, dirfd, name);
	bool again = false;

	if (r != -EPERM && r != -EACCES)
		return r;
	again |= ul_take_flags_off(dirfd, name);
	again |= ul_take_flags_off(dirfd, ".");
	again |= ul_take_flags_off(t->fd, ".");
	return again ? rename_free(t, dirfd, name) : r;
}

/* A directory of the trash: its files go, its directories come up. true: something went. */
static bool flatten(struct ul_trash *t, const char *name, unsigned int *left)
{
	ul_autodir DIR *dir = NULL;
	bool progress = false;
	struct dirent *entry;

	if (ul_dir_open(t->fd, name, &dir) < 0)
		return false;
	(void)ul_take_flags_off(dirfd(dir), ".");
	while (*left > 0 && ul_dir_next(dir, &entry) > 0) {
		int fd = dirfd(dir);

		--*left;
		if (unlinkat(fd, entry->d_name, 0) == 0 ||
		    (errno != EISDIR && ul_take_flags_off(fd, entry->d_name) && unlinkat(fd, entry->d_name, 0) == 0))
			progress = true;
		else if (errno == EISDIR)
			progress |= ul_trash_move(t, fd, entry->d_name) == 0;
	}
	return unlinkat(t->fd, name, AT_REMOVEDIR) == 0 || progress;
}

/* One look at all of it. 1: something went, and another look may find more. */
static int empty_once(struct ul_trash *t, unsigned int *left, bool *ret_empty)
{
	ul_autodir DIR *dir = NULL;
	bool progress = false;
	struct dirent *entry;
	int r = ul_dir_open(t->fd, ".", &dir);

	*ret_empty = true;
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		*ret_empty = false;
		if (*left == 0)
			return 0;
		--*left;
		if (unlinkat(t->fd, entry->d_name, 0) == 0)
			progress = true;
		else if (errno == EISDIR)
			progress |= flatten(t, entry->d_name, left);
		else
			progress |= ul_take_flags_off(t->fd, entry->d_name);
	}
	return r < 0 ? r : progress;
}

int ul_trash_empty(struct ul_trash *t, unsigned int most, bool *ret_empty)
{
	bool empty = false;
	int r;

	while ((r = empty_once(t, &most, &empty)) > 0 && !empty)
		;
	*ret_empty = empty;
	return r < 0 ? r : 0;
}
