#include "dbgen/layers/names.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "common/names.h"

static int store_error(const char *what, int error, struct ul_error *err)
{
	return ul_error_errno(err, error == EIO ? UL_E_CORRUPT : UL_E_SYSTEM, what, "the sealed store", NULL, error);
}

static bool is_dir(int dirfd, const struct dirent *entry, int *ret_error)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	if (fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode);
	*ret_error = errno;
	return false;
}

/* The names of the entries of a directory, sorted: of its directories only, or of all. */
static int list(int fd, bool only_dirs, struct ul_names *ret, int *ret_error)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(fd, ".", &dir), error = 0;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		if (!only_dirs || is_dir(dirfd(dir), entry, &error))
			r = ul_names_add(ret, entry->d_name);
		if (r >= 0 && error)
			r = -error;
	}
	ul_names_sort(ret, false);
	*ret_error = -r;
	return r;
}

/* Those that the layer guards: every directory's, and the one that Nix makes where a store lacks it. Sorted. */
static int list_guarded(int store_fd, struct ul_names *ret, int *ret_error)
{
	int r = list(store_fd, true, ret, ret_error);

	if (r < 0 || ul_names_find(ret, UL_LAYER_LINKS_NAME))
		return r;
	r = ul_names_add(ret, UL_LAYER_LINKS_NAME);
	ul_names_sort(ret, false);
	*ret_error = -r;
	return r;
}

int ul_layer_names_make(int store_fd, int names_fd, const char *what, uint64_t *ret_n, struct ul_error *err)
{
	ul_autonames struct ul_names names = {0};
	const char *first = NULL;
	int error;

	if (list_guarded(store_fd, &names, &error) < 0)
		return error == ENOMEM ? ul_error_nomem(err, what) : store_error(what, error, err);
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.at[i];

		if (i % UL_LAYER_LINKS == 0) {
			ul_autoclose int fd =
				openat(names_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);

			/* The mode is set apart from the making: the umask must not reach an image. */
			if (fd < 0 || fchmod(fd, 0444) < 0)
				return ul_error_errno(err, UL_E_SYSTEM, what, name, NULL, errno);
			first = name;
		} else if (linkat(names_fd, first, names_fd, name, 0) < 0) {
			return ul_error_errno(err, UL_E_SYSTEM, what, name, NULL, errno);
		}
	}
	*ret_n = names.n;
	return 0;
}

int ul_layer_names_check(int store_fd, int names_fd, const char *what, struct ul_error *err)
{
	static const char todo[] = "Build the image again.";
	ul_autonames struct ul_names wanted = {0}, found = {0};
	int error;

	if (list_guarded(store_fd, &wanted, &error) < 0 || list(names_fd, false, &found, &error) < 0)
		return error == ENOMEM ? ul_error_nomem(err, what) : store_error(what, error, err);
	for (size_t i = 0; i < wanted.n || i < found.n; i++) {
		int order = i == wanted.n ? 1 : i == found.n ? -1 : strcmp(wanted.at[i], found.at[i]);
		struct stat st;

		if (order < 0)
			return ul_error_set(err, UL_E_CHECK, what, wanted.at[i], todo,
					    "the names layer lacks it, so that an upper could replace what it holds");
		if (order > 0)
			return ul_error_set(err, UL_E_CHECK, what, found.at[i], todo,
					    "the names layer has it, the sealed store has no such directory");
		if (fstatat(names_fd, found.at[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return store_error(what, errno, err);
		if (!S_ISREG(st.st_mode) || st.st_size != 0)
			return ul_error_set(err, UL_E_CHECK, what, found.at[i], todo,
					    "in the names layer it must be an empty file");
	}
	return 0;
}

int ul_layer_links_missing(int store_fd, const char *what, bool *ret, struct ul_error *err)
{
	struct stat st;

	if (fstatat(store_fd, UL_LAYER_LINKS_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		*ret = false;
		return 0;
	}
	if (errno != ENOENT)
		return store_error(what, errno, err);
	*ret = true;
	return 0;
}

int ul_layer_links_make(int links_fd, const char *what, struct ul_error *err)
{
	if (mkdirat(links_fd, UL_LAYER_LINKS_NAME, 0755) < 0 || fchmodat(links_fd, UL_LAYER_LINKS_NAME, 0755, 0) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, UL_LAYER_LINKS_NAME, NULL, errno);
	return 0;
}
