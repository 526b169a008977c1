/* See upper_open.h. */
#include "dbgen/reconcile/upper_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/reconcile/quarantine.h"

int ul_upper_dir_move_away(struct ul_upper_dir *u, int dirfd, const char *name, const char *why)
{
	int r = ul_upper_dir_report(u, UL_RECONCILE_QUARANTINED, name, "%s", why);

	return r < 0 ? r : ul_quarantine_move(u, dirfd, name);
}

int ul_upper_dir_check_file(struct ul_upper_dir *u, int dirfd, const char *name, int64_t *ret_size)
{
	struct stat st;

	*ret_size = -1;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ul_upper_dir_fail(u, name, errno);
	if (!S_ISREG(st.st_mode))
		return ul_upper_dir_move_away(u, dirfd, name, "it must be a file");
	*ret_size = st.st_size;
	return 0;
}

int ul_upper_dir_make_way(struct ul_upper_dir *u, int dirfd, const char *name)
{
	char temporary[NAME_MAX + 1];
	const char *const names[] = {name, temporary};
	int r = 0;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(names); i++) {
		struct stat st;

		if (fstatat(dirfd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
			r = ul_upper_dir_move_away(u, dirfd, names[i], "it must be a file");
	}
	return r;
}

int ul_upper_dir_write(struct ul_upper_dir *u, const char *name, const char *text)
{
	int r;

	if (!text)
		return ul_upper_dir_nomem(u);
	r = ul_upper_dir_make_way(u, u->fd, name);
	if (r < 0)
		return r;
	r = ul_write_file_atomic(u->fd, name, 0644, text, strlen(text));
	return r < 0 ? ul_upper_dir_fail(u, name, -r) : 0;
}

int ul_upper_dir_open(struct ul_upper_dir *u, int dirfd, const char *name, int *ret_fd)
{
	*ret_fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd >= 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTDIR && errno != ELOOP)
		return ul_upper_dir_fail(u, name, errno);
	return ul_upper_dir_move_away(u, dirfd, name, "it must be a directory");
}
