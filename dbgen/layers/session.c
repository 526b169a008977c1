#include "dbgen/layers/session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "common/dir.h"
#include "common/number.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/reserve.h"

#define NUMBER_DIGITS 8
#define NUMBER_MAX    99999999UL
#define RANDOM_DIGITS 16
#define TRIES         16

#ifndef FS_CASEFOLD_FL
#define FS_CASEFOLD_FL 0x40000000
#endif
#ifndef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC 0x9123683e
#endif

static const char what[] = "making the session layer";

bool ul_session_parse(const char *name, unsigned long *ret_number)
{
	uint64_t number;

	if (strspn(name, "0123456789") != NUMBER_DIGITS || name[NUMBER_DIGITS] != '-' ||
	    !ul_parse_digits(name, NUMBER_DIGITS, &number) ||
	    strspn(name + NUMBER_DIGITS + 1, "0123456789abcdef") != RANDOM_DIGITS ||
	    name[NUMBER_DIGITS + 1 + RANDOM_DIGITS] != '\0')
		return false;
	*ret_number = number;
	return true;
}

int ul_session_open(int sessions, const char *name)
{
	ul_autoclose int fd = openat(sessions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int up = fd < 0 ? -1 : openat(fd, "up", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat above, st;

	if (up < 0 || fstat(sessions, &above) < 0 || fstat(up, &st) < 0)
		return -errno;
	return above.st_dev == st.st_dev ? ul_steal_fd(&up) : -EXDEV;
}

static void keep_oldest(struct ul_names *names)
{
	ul_names_sort(names, true);
	while (names->n > UL_SESSIONS_AT_A_BOOT)
		free(names->at[--names->n]);
}

int ul_session_list(int sessions, ul_session_other other, void *arg, struct ul_names *ret)
{
	ul_autonames struct ul_names names = {0};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	unsigned long number;
	int r = ul_dir_open(sessions, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		if (ul_session_parse(entry->d_name, &number))
			r = ul_names_add(&names, entry->d_name);
		else if (other)
			r = other(arg, entry->d_name);
		if (names.n == 2 * (size_t)UL_SESSIONS_AT_A_BOOT)
			keep_oldest(&names);
	}
	if (r < 0)
		return r;
	keep_oldest(&names);
	*ret = names;
	names = (struct ul_names){0};
	return 0;
}

static int last_number(int sessions, unsigned long *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	unsigned long number, last = 0;
	int r = ul_dir_open(sessions, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		if (ul_session_parse(entry->d_name, &number) && number > last)
			last = number;
	*ret = last;
	return r;
}

/* None that was there before this boot. */
static int new_name(int sessions, char ret[UL_SESSION_NAME_MAX])
{
	unsigned long last = 0;
	int r = last_number(sessions, &last);

	if (r < 0)
		return r;
	snprintf(ret, UL_SESSION_NAME_MAX, "%0*lu-%0*" PRIx64, NUMBER_DIGITS, last < NUMBER_MAX ? last + 1 : last,
		 RANDOM_DIGITS, ul_random_number());
	return 0;
}

static int forget_acls(int fd)
{
	static const char *const names[] = {"system.posix_acl_access", "system.posix_acl_default"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++)
		if (fremovexattr(fd, names[i]) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
			return -errno;
	return 0;
}

/* Labels (security.*) are the kernel's to give, and btrfs hands a property of the parent's (compression) on. */
static bool has_attribute(int fd)
{
	char names[1024];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	for (const char *at = names; n > 0 && at < names + n; at += strlen(at) + 1)
		if (strncmp(at, "security.", strlen("security.")) != 0 && strncmp(at, "btrfs.", strlen("btrfs.")) != 0)
			return true;
	return n < 0 && errno != EOPNOTSUPP;
}

/* Why the directory that mkdir just made is not a new one; NULL: it is. */
static const char *find_defect(int fd, mode_t mode, gid_t gid)
{
	ul_autodir DIR *dir = NULL;
	unsigned int flags = 0;
	struct dirent *entry;
	struct statfs fs;
	struct stat st;
	int r;

	if (has_attribute(fd))
		return "it has an extended attribute";
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_CASEFOLD_FL))
		return flags & FS_CASEFOLD_FL ? "it folds case" : "a flag forbids writing in it";
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return "its properties cannot be read";
	if (st.st_uid != 0 || st.st_gid != gid || (st.st_mode & 07777) != mode || !S_ISDIR(st.st_mode))
		return "owner or mode are not those that were set";
	/* btrfs counts no links of directories. */
	if (st.st_nlink != (fs.f_type == BTRFS_SUPER_MAGIC ? 1U : 2U))
		return "it has another link";
	r = ul_dir_open(fd, ".", &dir);
	if (r == 0)
		r = ul_dir_next(dir, &entry);
	return r < 0 ? "it cannot be read" : r > 0 ? "it is not empty" : NULL;
}

static int make_one(int parent, const char *name, mode_t mode, gid_t gid, struct ul_error *err)
{
	ul_autoclose int fd = -1;
	const char *defect;
	int r = mkdirat(parent, name, 0700) < 0 ? -errno : 0;

	if (r == 0) {
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : forget_acls(fd);
	}
	if (r == 0 && (fchown(fd, 0, gid) < 0 || fchmod(fd, mode) < 0))
		r = -errno;
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, name,
				      ul_errno_is_full(-r) ? "Make room on the upper." : NULL, -r);
	defect = find_defect(fd, mode, gid);
	if (!defect)
		return 0;
	return ul_error_set(err, UL_E_UPPER, what, name, "Repair the filesystem on another machine, or make it anew.",
			    "the directory was made a moment ago, yet %s: the filesystem is not sound", defect);
}

/* The directory of the sessions, root's alone. */
static int open_sessions(int upper_fd, int *ret_fd)
{
	ul_autoclose int fd = -1;
	int r = ul_layer_dir_own(upper_fd, UL_SESSIONS, 0700, &fd);

	if (r >= 0)
		r = forget_acls(fd);
	if (r < 0)
		return r;
	if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0700) < 0)
		return -errno;
	*ret_fd = ul_steal_fd(&fd);
	return 0;
}

/* Half of one, for which there was no room, is in nobody's way, but for the next attempt's room. */
static void remove_half(int sessions, int fd, const char *name)
{
	(void)unlinkat(fd, "work", AT_REMOVEDIR);
	(void)unlinkat(fd, "up", AT_REMOVEDIR);
	(void)unlinkat(sessions, name, AT_REMOVEDIR);
}

int ul_session_make(int upper_fd, mode_t mode, gid_t gid, char ret_name[UL_SESSION_NAME_MAX], struct ul_error *err)
{
	ul_autoclose int sessions = -1, fd = -1;
	char name[UL_SESSION_NAME_MAX];
	int r = open_sessions(upper_fd, &sessions);

	if (r == 0)
		r = -EEXIST;
	for (int i = 0; r == -EEXIST && i < TRIES; i++) {
		r = new_name(sessions, name);
		if (r == 0 && mkdirat(sessions, name, 0700) < 0)
			r = -errno;
	}
	if (r == 0) {
		fd = openat(sessions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : forget_acls(fd);
	}
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, UL_SESSIONS,
				      ul_errno_is_full(-r) ? "Make room on the upper." : NULL, -r);
	r = make_one(fd, "up", mode, gid, err);
	if (r == 0)
		r = make_one(fd, "work", 0700, 0, err);
	if (r == 0)
		memcpy(ret_name, name, sizeof(name));
	else if (ul_errno_is_full(err->errnum))
		remove_half(sessions, fd, name);
	return r;
}
