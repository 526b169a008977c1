#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/descent.h"
#include "common/dir.h"
#include "common/leftover.h"

int ul_pread_full(int fd, void *buf, size_t len, uint64_t offset)
{
	uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = pread(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int ul_write_full(int fd, const void *buf, size_t len)
{
	const uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int ul_pwrite_full(int fd, const void *buf, size_t len, uint64_t offset)
{
	const uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int ul_read_file(int dirfd, const char *path, size_t max, struct ul_buffer *ret)
{
	ul_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t start = ret->len;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
		return -EFBIG;
	for (;;) {
		size_t chunk = st.st_size > 0 && ret->len == start ? (size_t)st.st_size + 1 : 65536;
		ssize_t n;
		int r = ul_buffer_reserve(ret, chunk);

		if (r < 0)
			return r;
		n = read(fd, ret->data + ret->len, ret->size - ret->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		ret->len += (size_t)n;
		if (ret->len - start > max)
			return -EFBIG;
	}
}

int ul_sync_dir(int dirfd, const char *path)
{
	ul_autoclose int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/* "a/b/c" -> "a/b", "c" -> ".", "/c" -> "/". */
static int parent_of(const char *path, char *buf, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		return snprintf(buf, size, ".") < 0 ? -EINVAL : 0;
	if (len == 0)
		len = 1;
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(buf, path, len);
	buf[len] = '\0';
	return 0;
}

/* By a temporary name that nothing has yet: O_EXCL takes no file of somebody's, and follows no symlink. */
static int replace(int dirfd, const char *path, const char *temporary, mode_t mode, const void *data, size_t len)
{
	char parent[PATH_MAX];
	ul_autoclose int fd = -1;
	struct ul_leftover *leftover;
	int r = parent_of(path, parent, sizeof(parent));

	if (r < 0)
		return r;
	leftover = ul_leftover_add(dirfd, temporary);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	r = fd < 0 ? -errno : ul_write_full(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temporary, dirfd, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		unlinkat(dirfd, temporary, 0);
	ul_leftover_drop(leftover);
	return r < 0 ? r : ul_sync_dir(dirfd, parent);
}

int ul_write_file_atomic(int dirfd, const char *path, mode_t mode, const void *data, size_t len)
{
	char temporary[PATH_MAX];

	if (snprintf(temporary, sizeof(temporary), "%s.tmp", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	/* What a power cut left of an earlier try is ours to replace. */
	if (unlinkat(dirfd, temporary, 0) < 0 && errno != ENOENT)
		return -errno;
	return replace(dirfd, path, temporary, mode, data, len);
}

/* Beside a user's files no name is ours: one that nobody has, and that is short enough beside each. */
static int replace_output(const char *path, const void *data, size_t len)
{
	char parent[PATH_MAX], temporary[PATH_MAX];
	uint64_t number;
	int r = parent_of(path, parent, sizeof(parent));

	if (r < 0)
		return r;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -errno;
	if (snprintf(temporary, sizeof(temporary), "%s/.underlay-%016" PRIx64 ".tmp", parent, number) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	return replace(AT_FDCWD, path, temporary, 0644, data, len);
}

int ul_write_file(int dirfd, const char *path, mode_t mode, const void *data, size_t len)
{
	ul_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, mode);

	if (fd < 0)
		return -errno;
	return ul_write_full(fd, data, len);
}

#define LINKS_MAX 40 /* as the kernel follows them */

/* Where the symlink leads that path may be; what its last name says need not exist. 0 or -errno. */
static int follow(const char *path, char ret[PATH_MAX])
{
	char target[PATH_MAX];

	if (snprintf(ret, PATH_MAX, "%s", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	for (int links = 0; links <= LINKS_MAX; links++) {
		int r = ul_read_link(AT_FDCWD, ret, target);
		const char *slash = strrchr(ret, '/');
		size_t dir = slash && *target != '/' ? (size_t)(slash - ret) + 1 : 0;

		if (r == -EINVAL || r == -ENOENT) /* no symlink; nothing there */
			return 0;
		if (r < 0)
			return r;
		if (snprintf(ret + dir, PATH_MAX - dir, "%s", target) >= (int)(PATH_MAX - dir))
			return -ENAMETOOLONG;
	}
	return -ELOOP;
}

/* Then its own descriptor is written to: a file that is opened once more would be written from its start again. */
static bool is_standard_output(const struct stat *st)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	struct stat out;

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(STDOUT_FILENO, &out) == 0 &&
	       out.st_dev == st->st_dev && out.st_ino == st->st_ino;
}

int ul_write_output(const char *what, const char *path, const void *data, size_t len, struct ul_error *err)
{
	char target[PATH_MAX];
	struct stat st;
	bool there = stat(path, &st) == 0;
	int r = there || errno == ENOENT ? 0 : -errno;

	if (there && is_standard_output(&st)) {
		r = ul_write_full(STDOUT_FILENO, data, len);
	} else if (there && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
		r = ul_write_file(AT_FDCWD, path, 0644, data, len);
	} else if (there && !S_ISREG(st.st_mode)) {
		return ul_error_set(err, UL_E_EXISTS, what, path, "Name a file.",
				    "it exists and is neither a file nor a pipe nor a character device");
	} else {
		r = r < 0 ? r : follow(path, target);
		r = r < 0 ? r : replace_output(target, data, len);
	}
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, -r) : 0;
}

int ul_mkdir_parents(int dirfd, const char *path, mode_t mode)
{
	char buf[4096];
	size_t len = strlen(path);

	if (len >= sizeof(buf))
		return -ENAMETOOLONG;
	memcpy(buf, path, len + 1);
	for (char *p = buf + 1; len > 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdirat(dirfd, buf, mode) < 0 && errno != EEXIST)
			return -errno;
		if (c == '\0')
			return 0;
		*p = '/';
	}
	return 0;
}

/* A directory that is being emptied: of its entries only directories are left, the last of them is next. */
struct emptied {
	struct ul_names dirs;
	bool inside; /* that one was entered */
};

struct removal {
	struct ul_descent way;
	UL_VECTOR(struct emptied) levels;
};

/* Whether something is mounted on the directory; kernels before 5.8 do not tell. */
static bool is_mount(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Store directories are 0555: who is not root makes room in them first. */
static int open_emptied(int dirfd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd = openat(dirfd, name, flags);
	struct stat st;

	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
		fd = openat(dirfd, name, flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
		(void)!fchmod(fd, 0700);
	return fd;
}

/* All but its directories goes at once. */
static int enter_emptied(struct removal *r, int fd)
{
	struct emptied level = {.inside = false};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int result = ul_descent_enter(&r->way, fd);

	if (result == 0)
		result = ul_dir_open(fd, ".", &dir);
	while (result >= 0 && dir && (result = ul_dir_next(dir, &entry)) > 0) {
		if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
			continue;
		result = errno == EISDIR ? ul_names_add(&level.dirs, entry->d_name) : -errno;
	}
	if (result >= 0)
		result = ul_vector_push(&r->levels, level);
	if (result < 0)
		ul_names_free(&level.dirs);
	return result;
}

static int enter_next(struct removal *r, struct emptied *level)
{
	int above = ul_descent_fd(&r->way), fd = open_emptied(above, level->dirs.at[level->dirs.n - 1]);
	struct stat st;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fstat(fd, &st) < 0 || st.st_dev != r->way.levels.at[0].dev || is_mount(fd)) {
		close(fd);
		return -EXDEV;
	}
	return enter_emptied(r, fd);
}

/* One step: the next directory is entered, or, once it is empty, removed; or this one is left. */
static int step(struct removal *r)
{
	struct emptied *level = &r->levels.at[r->levels.n - 1];
	struct ul_names *dirs = &level->dirs;

	if (dirs->n == 0) {
		ul_names_free(dirs);
		r->levels.n--;
		return ul_descent_leave(&r->way);
	}
	level->inside = !level->inside;
	if (level->inside)
		return enter_next(r, level);
	if (unlinkat(ul_descent_fd(&r->way), dirs->at[dirs->n - 1], AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	free(dirs->at[--dirs->n]);
	return 0;
}

static int empty_tree(int fd)
{
	struct removal r = {0};
	int result = enter_emptied(&r, fd);

	while (result == 0 && r.levels.n > 0)
		result = step(&r);
	for (size_t i = 0; i < r.levels.n; i++)
		ul_names_free(&r.levels.at[i].dirs);
	ul_vector_free(&r.levels);
	ul_descent_close(&r.way);
	return result;
}

int ul_remove_tree(int dirfd, const char *path)
{
	int fd, r;

	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	fd = open_emptied(dirfd, path);
	r = fd < 0 ? fd : empty_tree(fd);
	return r == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : r;
}

int ul_file_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int ul_read_link(int dirfd, const char *name, char ret_target[PATH_MAX])
{
	ssize_t len = readlinkat(dirfd, name, ret_target, PATH_MAX);

	if (len < 0)
		return -errno;
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	ret_target[len] = '\0';
	return 0;
}

char *ul_path_join(const char *a, const char *b)
{
	size_t len = strlen(a);
	char *joined;

	while (len > 0 && a[len - 1] == '/')
		len--;
	while (*b == '/')
		b++;
	if (asprintf(&joined, "%.*s/%s", (int)len, a, b) < 0)
		return NULL;
	return joined;
}
