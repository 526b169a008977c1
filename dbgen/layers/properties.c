#include "dbgen/layers/properties.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "common/cleanup.h"

#define TIMES     "trusted.underlay.times" /* seconds and nanoseconds of atime and mtime, four int64 of this machine */
#define XATTR_MAX 65536                    /* bytes of a list, and of a value: the kernel's limit */
#define ROOM      (1 << 20)                /* bytes: a disk that has them free takes an attribute */

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

int ul_properties_read(int fd, struct ul_properties *ret)
{
	struct ul_properties p = {0};
	int64_t times[4];

	if (fstat(fd, &p.st) < 0)
		return -errno;
	p.recorded = fgetxattr(fd, TIMES, times, sizeof(times)) == (ssize_t)sizeof(times) && times[1] >= 0 &&
		     times[1] < 1000000000 && times[3] >= 0 && times[3] < 1000000000;
	if (p.recorded) {
		p.st.st_atim = (struct timespec){.tv_sec = times[0], .tv_nsec = times[1]};
		p.st.st_mtim = (struct timespec){.tv_sec = times[2], .tv_nsec = times[3]};
	}
	*ret = p;
	return 0;
}

void ul_properties_record(int fd, struct ul_properties *p)
{
	int64_t times[4] = {p->st.st_atim.tv_sec, p->st.st_atim.tv_nsec, p->st.st_mtim.tv_sec, p->st.st_mtim.tv_nsec};

	if (!p->recorded)
		p->recorded = fsetxattr(fd, TIMES, times, sizeof(times), 0) == 0;
}

/* btrfs.* and the like describe how the filesystem stores it. */
static bool is_carried(const char *name)
{
	if (starts(name, "user."))
		return !starts(name, "user.overlay.");
	if (starts(name, "trusted."))
		return !starts(name, "trusted.overlay.") && strcmp(name, TIMES) != 0;
	return starts(name, "security.") || starts(name, "system.posix_acl_");
}

/* The names of fd's attributes, one after another, each with its end. Bytes, or -errno. */
static ssize_t list(int fd, char **ret)
{
	ul_autofree char *names = malloc(XATTR_MAX);
	ssize_t n = names ? flistxattr(fd, names, XATTR_MAX) : -1;

	if (!names)
		return -ENOMEM;
	if (n < 0 && errno != EOPNOTSUPP)
		return -errno;
	*ret = ul_steal(names);
	return n < 0 ? 0 : n;
}

/* An attribute that the filesystem or the kernel refuses here is left out: that is not a reason to stop. */
static int set_result(int r)
{
	return r == 0 || errno == EOPNOTSUPP || errno == EPERM || errno == EACCES || errno == ENODATA ? 0 : -errno;
}

/*
 * ext4 has room for few attributes of a file, and calls it a full disk where they do not fit beside those that somebody
 * put there. No room that is made helps then. errno stays.
 */
static bool has_no_place(int fd, int error)
{
	struct statfs fs;
	bool has_room = error == ENOSPC && fstatfs(fd, &fs) == 0 && (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize >= ROOM;

	errno = error;
	return has_room;
}

static int copy_one(int from, int to, const char *name, char *value)
{
	ssize_t n = fgetxattr(from, name, value, XATTR_MAX);

	if (n < 0)
		return set_result(-1);
	if (fsetxattr(to, name, value, (size_t)n, 0) == 0 || has_no_place(to, errno))
		return 0;
	return set_result(-1);
}

static int give_attributes(int from, int to)
{
	ul_autofree char *names = NULL, *old = NULL, *value = NULL;
	ssize_t n = list(from, &names), n_old = list(to, &old);
	int r = n < 0 ? (int)n : n_old < 0 ? (int)n_old : 0;

	for (const char *at = old; r == 0 && at < old + n_old; at += strlen(at) + 1)
		if (is_carried(at) && !starts(at, "security.") && fgetxattr(from, at, NULL, 0) < 0 && errno == ENODATA)
			r = set_result(fremovexattr(to, at));
	for (const char *at = names; r == 0 && at < names + n; at += strlen(at) + 1) {
		if (!is_carried(at))
			continue;
		if (!value)
			value = malloc(XATTR_MAX);
		r = value ? copy_one(from, to, at, value) : -ENOMEM;
	}
	return r;
}

int ul_properties_give(const struct ul_properties *p, int from, int to)
{
	struct timespec times[2] = {p->st.st_atim, p->st.st_mtim};
	int r;

	if (fchown(to, p->st.st_uid, p->st.st_gid) < 0)
		return -errno;
	r = give_attributes(from, to);
	if (r < 0)
		return r;
	return fchmod(to, p->st.st_mode & 07777) < 0 || futimens(to, times) < 0 ? -errno : 0;
}
