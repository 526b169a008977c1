#include "initrd/stages/database_gcroots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/roots.h"
#include "dbgen/store/store_path.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"

#define FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const char what[] = "registering the collector's roots";

/* ---- the list ---- */

/* Bytes that a list may have: a longer one names each path of a store of millions, or is not such a list. */
static size_t longest(const struct ul_boot *b)
{
	return b->database == UL_DATABASE_ATTACH ? UL_GCROOTS_ATTACHED * (UL_BASE_NAME_MAX + 1) : UL_ROOTS_MAX;
}

/* Whether to look through the manifest: for an attached one, only where that is one batch. */
static bool may_look(const struct ul_boot *b, struct ul_manifest *m)
{
	return b->database != UL_DATABASE_ATTACH || ul_manifest_n_paths(m) <= UL_MANIFEST_BATCH;
}

/* Lines of base names. Empty: there is none that is short enough. */
static int read_list(const struct ul_boot *b, const struct ul_lower *lower, struct ul_buffer *list,
		     struct ul_error *err)
{
	ul_autoclose int fd = -1;
	char path[PATH_MAX];
	int r = -ENOENT;

	/* Another maker's file of this name means nothing. */
	if (!lower->foreign) {
		fd = open(ul_lower_path(b, lower, "", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return ul_error_errno(err, UL_E_FILESYSTEM, "opening the lower", path, NULL, errno);
		r = ul_read_file(fd, UL_LOWER_ROOTS, longest(b), list);
	}
	if (r == -ENOENT || r == -EFBIG)
		return may_look(b, lower->manifest) ? ul_roots_list(lower->manifest, list, err) : 0;
	return r < 0 ? ul_error_errno_of_lower(err, UL_E_MANIFEST, what, UL_LOWER_ROOTS, "Build the image again.", -r)
		     : 0;
}

/* Its lines ended by NUL instead of newlines: *ret_n of them. */
static int split(struct ul_buffer *list, uint32_t *ret_n, struct ul_error *err)
{
	uint8_t digest[UL_DIGEST_SIZE];
	char *end;

	*ret_n = 0;
	for (size_t at = 0; at < list->len; at = (size_t)(end - (char *)list->data) + 1) {
		char *line = (char *)list->data + at;

		end = memchr(line, '\n', list->len - at);
		if (!end || !ul_store_base_parse(line, (size_t)(end - line), digest))
			return ul_error_set(err, UL_E_MANIFEST, what, UL_LOWER_ROOTS, "Build the image again.",
					    "line %u is not the name of a store path", *ret_n + 1);
		*end = '\0';
		(*ret_n)++;
	}
	return 0;
}

/* ---- the files ---- */

static int place_error(const struct ul_boot *b, int error, struct ul_error *err)
{
	char path[PATH_MAX];

	return ul_error_errno(err, UL_E_UPPER, what, ul_boot_path(b, UL_PATH_GCROOTS, path), NULL, error);
}

/* Every name takes an inode in tmpfs' accounts, so their number is not limited. */
static int mount_place(const struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX];

	if (mount("tmpfs", ul_boot_path(b, UL_PATH_GCROOTS, path), "tmpfs", FLAGS, "mode=0755,nr_inodes=0") < 0)
		return place_error(b, errno, err);
	return 0;
}

/* tmpfs does not limit the links to a file. */
static int make_files(int fd, const char *names, uint32_t n)
{
	const char *first = names;

	for (uint32_t i = 0; i < n; i++, names += strlen(names) + 1) {
		ul_autoclose int file = -1;

		if (i > 0) {
			if (linkat(fd, first, fd, names, 0) < 0)
				return -errno;
			continue;
		}
		file = openat(fd, names, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
		if (file < 0)
			return -errno;
	}
	return 0;
}

static int make_roots(const struct ul_boot *b, size_t number, const char *names, uint32_t n, struct ul_error *err)
{
	ul_autoclose int fd = -1;
	char name[sizeof(UL_PATH_GCROOTS) + 32], path[PATH_MAX];
	int r;

	snprintf(name, sizeof(name), UL_PATH_GCROOTS "/lower%zu", number);
	r = mkdir(ul_boot_path(b, name, path), 0755) < 0 ? -errno : 0;
	if (r == 0) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : make_files(fd, names, n);
	}
	return r < 0 ? place_error(b, -r, err) : 0;
}

/* ---- all of it ---- */

static int register_lower(struct ul_boot *b, size_t number, bool *mounted, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[number];
	ul_autobuffer struct ul_buffer list = {0};
	uint32_t n = 0;
	int r = read_list(b, lower, &list, err);

	if (r == 0)
		r = split(&list, &n, err);
	if (r < 0)
		return r;
	if (n == 0 || (b->database == UL_DATABASE_ATTACH && n > UL_GCROOTS_ATTACHED)) {
		if (ul_manifest_n_paths(lower->manifest) > 0)
			ul_log(UL_LOG_INFO,
			       "database: the image has no path that refers to all others: Nix's collector goes "
			       "through the sealed paths, too, and is slow. Build the image again");
		return 0;
	}
	if (!*mounted)
		r = mount_place(b, err);
	*mounted |= r == 0;
	if (r == 0)
		r = make_roots(b, number, (const char *)list.data, n, err);
	if (r == 0)
		b->n_gcroots += n;
	return r;
}

int ul_gcroots_make(struct ul_boot *b, struct ul_error *err)
{
	bool mounted = false;
	char path[PATH_MAX];
	int r = 0;

	b->n_gcroots = 0;
	for (size_t i = 0; r == 0 && i < b->n_lowers; i++)
		if (b->lowers[i].manifest)
			r = register_lower(b, i, &mounted, err);
	if (r == 0 && mounted &&
	    mount(NULL, ul_boot_path(b, UL_PATH_GCROOTS, path), NULL, MS_REMOUNT | MS_RDONLY | FLAGS, "mode=0755") < 0)
		r = place_error(b, errno, err);
	return r;
}
