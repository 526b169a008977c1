#include "initrd/upper/copy.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "common/file.h"
#include "dbgen/layers/properties.h"

#define PIECE (1u << 20) /* bytes */

/* A directory of the tree that is copied, and the one that is made of it. */
struct pair {
	int from, to;
};

static int fail(struct ul_copy *c, const char *name, int error)
{
	return ul_error_errno(c->err, UL_E_UPPER, c->what, name,
			      error == ENOSPC || error == EDQUOT ? c->room : "Check the disk.", error);
}

static int copy_piece(struct ul_copy *c, int in, int out, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		size_t len = end - offset < PIECE ? (size_t)(end - offset) : PIECE;
		int r = ul_pread_full(in, c->piece, len, offset);

		if (r == 0)
			r = ul_pwrite_full(out, c->piece, len, offset);
		if (r < 0)
			return r;
		offset += len;
		c->bytes += len;
	}
	return 0;
}

/* Real bytes, never shared blocks; holes stay holes. */
static int copy_bytes(struct ul_copy *c, int in, int out, off_t size)
{
	off_t data, hole;
	int r = ftruncate(out, size) < 0 ? -errno : 0;

	for (off_t at = 0; r == 0 && at < size; at = hole) {
		data = lseek(in, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(in, data, SEEK_HOLE);
		if (data < at || hole <= data)
			return data < 0 || hole < 0 ? -errno : -EIO;
		r = copy_piece(c, in, out, (uint64_t)data, (uint64_t)(hole < size ? hole : size));
	}
	return r;
}

static int copy_file(struct ul_copy *c, const struct pair *at, const char *name, const char *to)
{
	ul_autoclose int in = openat(at->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	ul_autoclose int out = -1;
	struct ul_properties p = {0};
	int r = in < 0 ? -errno : ul_properties_read(in, &p);

	if (r == 0) {
		out = openat(at->to, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = out < 0 ? -errno : copy_bytes(c, in, out, p.st.st_size);
	}
	return r < 0 ? r : ul_properties_give(&p, in, out);
}

static int copy_link(const struct pair *at, const char *name, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	char target[PATH_MAX];
	ssize_t len = readlinkat(at->from, name, target, sizeof(target));

	if (len < 0 || len >= (ssize_t)sizeof(target))
		return len < 0 ? -errno : -ENAMETOOLONG;
	target[len] = '\0';
	if (symlinkat(target, at->to, name) < 0 ||
	    fchownat(at->to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(at->to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_dir(struct ul_copy *c, const struct pair *at, const char *name, const char *to, unsigned int depth);

static int copy_entry(struct ul_copy *c, const struct pair *at, const char *name, unsigned int depth)
{
	struct stat st;
	int r = fstatat(at->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

	if (r == 0 && S_ISDIR(st.st_mode))
		return copy_dir(c, at, name, name, depth + 1);
	if (++c->entries > UL_COPY_ENTRIES)
		return ul_error_set(c->err, UL_E_UPPER, c->what, name, "Tidy it up on another machine.",
				    "there are more than %u entries", UL_COPY_ENTRIES);
	if (r == 0 && S_ISREG(st.st_mode))
		r = copy_file(c, at, name, name);
	else if (r == 0 && S_ISLNK(st.st_mode))
		r = copy_link(at, name, &st);
	/* Sockets and pipes belong to programs that are gone. A name that a directory has twice is one file. */
	return r < 0 && r != -EEXIST ? fail(c, name, -r) : 0;
}

static int copy_dir(struct ul_copy *c, const struct pair *at, const char *name, const char *to, unsigned int depth)
{
	ul_autodir DIR *dir = NULL;
	ul_autoclose int fd = -1;
	struct dirent *entry;
	struct ul_properties p = {0};
	struct pair below;
	int r;

	if (depth > UL_COPY_DEPTH || ++c->entries > UL_COPY_ENTRIES)
		return ul_error_set(c->err, UL_E_UPPER, c->what, name, "Tidy it up on another machine.",
				    "there are more than %u entries, or %u directories in each other", UL_COPY_ENTRIES,
				    UL_COPY_DEPTH);
	r = ul_dir_open(at->from, name, &dir);
	if (r == 0)
		r = ul_properties_read(dirfd(dir), &p);
	if (r == 0 && mkdirat(at->to, to, 0700) < 0)
		r = -errno;
	if (r == 0)
		fd = openat(at->to, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 || fd < 0)
		return r == -EEXIST && depth > 0 ? 0 : fail(c, name, r < 0 ? -r : errno);
	below = (struct pair){.from = dirfd(dir), .to = fd};
	while ((r = ul_dir_next(dir, &entry)) > 0) {
		r = copy_entry(c, &below, entry->d_name, depth);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = ul_properties_give(&p, below.from, fd);
	return r < 0 ? fail(c, name, -r) : 0;
}

static int start(struct ul_copy *c)
{
	c->piece = malloc(PIECE);
	return c->piece ? 0 : ul_error_nomem(c->err, c->what);
}

static void end(struct ul_copy *c)
{
	free(c->piece);
	c->piece = NULL;
}

int ul_copy_tree(struct ul_copy *c, int dirfd, const char *name, const char *to)
{
	const struct pair at = {.from = dirfd, .to = dirfd};
	int r = start(c);

	if (r == 0)
		r = copy_dir(c, &at, name, to, 0);
	end(c);
	return r;
}

int ul_copy_file(struct ul_copy *c, int dirfd, const char *name, const char *to)
{
	const struct pair at = {.from = dirfd, .to = dirfd};
	int r = start(c);

	if (r == 0)
		r = copy_file(c, &at, name, to);
	end(c);
	return r < 0 && r != -UL_E_MEMORY ? fail(c, name, -r) : r;
}
