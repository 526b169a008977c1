#include "initrd/stages/database_gcroots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/manifest/roots.h"
#include "dbgen/store/store_path.h"
#include "initrd/upper/upper.h"

static const char what[] = "registering the collector's roots";

/* The list, its lines ended by NUL instead of newlines: *ret_n of them. */
static int read_list(struct ul_manifest *m, int lower_fd, struct ul_buffer *list, uint32_t *ret_n, struct ul_error *err)
{
	int r = ul_read_file(lower_fd, UL_LOWER_ROOTS, UL_ROOTS_MAX, list);
	uint8_t digest[UL_DIGEST_SIZE];
	char *line, *end;

	if (r == -ENOENT)
		r = ul_roots_list(m, list, err);
	else if (r < 0)
		return ul_error_errno_of_lower(err, UL_E_MANIFEST, what, UL_LOWER_ROOTS, "Build the image again.", -r);
	if (r < 0)
		return r;
	*ret_n = 0;
	for (size_t at = 0; at < list->len; at = (size_t)(end - (char *)list->data) + 1) {
		line = (char *)list->data + at;
		end = memchr(line, '\n', list->len - at);
		if (!end || !ul_store_base_parse(line, (size_t)(end - line), digest))
			return ul_error_set(err, UL_E_MANIFEST, what, UL_LOWER_ROOTS, "Build the image again.",
					    "line %u is not the name of a store path", *ret_n + 1);
		*end = '\0';
		(*ret_n)++;
	}
	return 0;
}

static const char *next_name(const char *name)
{
	return name + strlen(name) + 1;
}

/* ---- directories ---- */

/* Open the directory, make it where it is not there. fd or -errno. */
static int open_made(int fd, const char *name)
{
	for (int i = 0; i < 2; i++) {
		int child, r;

		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			return child;
		if (errno != ENOTDIR && errno != ELOOP)
			return -errno;
		r = ul_upper_move_aside(fd, name);
		if (r < 0)
			return r;
	}
	return -ENOTDIR;
}

/* ---- the links ---- */

static int make_links(int fd, const char *store_dir, const char *names, uint32_t n)
{
	char target[PATH_MAX];

	for (uint32_t i = 0; i < n; i++, names = next_name(names)) {
		snprintf(target, sizeof(target), "%s/%s", store_dir, names);
		if (symlinkat(target, fd, names) < 0)
			return -errno;
	}
	return 0;
}

/* The directory holds these links and nothing else. */
static bool is_right(int fd, const char *store_dir, const char *names, uint32_t n)
{
	ul_autodir DIR *dir = NULL;
	char wanted[PATH_MAX], found[PATH_MAX];
	struct dirent *entry;
	uint64_t entries = 0;
	int r = ul_dir_open(fd, ".", &dir);
	bool right;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		entries++;
	right = r == 0 && entries == n;
	for (uint32_t i = 0; right && i < n; i++, names = next_name(names)) {
		ssize_t len = readlinkat(fd, names, found, sizeof(found) - 1);

		found[len < 0 ? 0 : len] = '\0';
		snprintf(wanted, sizeof(wanted), "%s/%s", store_dir, names);
		right = !strcmp(found, wanted);
	}
	return right;
}

/* fresh (in dirfd) becomes name; what was there goes. */
static int put_in_place(int dirfd, const char *fresh, const char *name, bool durable)
{
	if (renameat2(dirfd, fresh, dirfd, name, RENAME_EXCHANGE) < 0) {
		if (errno != ENOENT && errno != EINVAL)
			return -errno;
		/* Nothing there, or a filesystem that cannot exchange: then there is a moment without. */
		if (errno == EINVAL && ul_remove_tree(dirfd, name) < 0)
			return -EIO;
		if (renameat(dirfd, fresh, dirfd, name) < 0)
			return -errno;
	}
	if (durable && fsync(dirfd) < 0)
		return -errno;
	return ul_remove_tree(dirfd, fresh);
}

static int install(int dirfd, const struct ul_gcroots *g, const char *names, uint32_t n)
{
	const char *store_dir = ul_manifest_store_dir(g->manifest);
	ul_autoclose int old = -1, fd = -1;
	char fresh[NAME_MAX + 1];
	int r;

	old = openat(dirfd, g->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (old >= 0 && is_right(old, store_dir, names, n))
		return 0;
	snprintf(fresh, sizeof(fresh), "%.200s.new", g->name);
	r = ul_remove_tree(dirfd, fresh);
	if (r == 0 && mkdirat(dirfd, fresh, 0755) < 0)
		r = -errno;
	if (r < 0)
		return r;
	fd = openat(dirfd, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : make_links(fd, store_dir, names, n);
	if (r == 0 && g->durable && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? r : put_in_place(dirfd, fresh, g->name, g->durable);
}

int ul_gcroots_write(const struct ul_gcroots *g, uint32_t *ret_n, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer list = {0};
	ul_autoclose int roots = -1, fd = -1;
	uint32_t n = 0;
	int r = read_list(g->manifest, g->lower_fd, &list, &n, err);

	if (r < 0)
		return r;
	roots = open_made(g->state_fd, "gcroots");
	if (roots >= 0)
		fd = open_made(roots, "underlay");
	r = roots < 0 ? roots : fd < 0 ? fd : install(fd, g, (const char *)list.data, n);
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, g->name, r == -ENOSPC ? "Make room on the upper." : NULL,
				      -r);
	*ret_n = n;
	return 0;
}
