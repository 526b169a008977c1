#include "initrd/upper/copy.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/layers/properties.h"

#define PIECE (1u << 20) /* bytes */

int ul_copy_fail(struct ul_copy *c, const char *name, int error)
{
	return ul_error_errno(c->err, UL_E_UPPER, c->what, name, ul_errno_is_full(error) ? c->room : "Check the disk.",
			      error);
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

static int copy_file(struct ul_copy *c, const struct ul_copy_pair *at, const char *name, const char *to)
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

static int copy_link(const struct ul_copy_pair *at, const char *name, const struct stat *st)
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

int ul_copy_entry(struct ul_copy *c, const struct ul_copy_pair *at, const char *name, const struct stat *st)
{
	int r = c->piece || (c->piece = malloc(PIECE)) ? 0 : -ENOMEM;

	/* Sockets and pipes belong to programs that are gone. */
	if (r == 0 && S_ISREG(st->st_mode))
		r = copy_file(c, at, name, name);
	else if (r == 0 && S_ISLNK(st->st_mode))
		r = copy_link(at, name, st);
	/* A name that a directory has twice is one file. */
	if (r < 0 && r != -EEXIST)
		(void)unlinkat(at->to, name, 0);
	return r == -EEXIST ? 0 : r;
}

int ul_copy_file(struct ul_copy *c, int dirfd, const char *name, const char *to)
{
	const struct ul_copy_pair at = {.from = dirfd, .to = dirfd};
	int r = c->piece || (c->piece = malloc(PIECE)) ? copy_file(c, &at, name, to) : -ENOMEM;

	return r < 0 ? ul_copy_fail(c, name, -r) : 0;
}

void ul_copy_free(struct ul_copy *c)
{
	free(c->piece);
	c->piece = NULL;
	ul_names_free(&c->left_out);
	c->entries = c->bytes = c->space = c->n_left_out = 0;
	c->full = false;
}
