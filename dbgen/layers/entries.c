#include "dbgen/layers/entries.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/session.h"

static int open_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Something else in a directory's place is nothing that the overlay has shown. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static int list_sessions(int sessions, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	unsigned long number;
	int r = ul_dir_open(sessions, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		if (ul_session_parse(entry->d_name, &number))
			r = ul_names_add(ret, entry->d_name);
	ul_names_sort(ret, false);
	return r;
}

static int open_sessions(int upper_fd, struct ul_entries *e)
{
	ul_autoclose int sessions = open_dir(upper_fd, UL_SESSIONS);
	ul_autonames struct ul_names names = {0};
	int r;

	if (sessions < 0)
		return is_absent(sessions) ? 0 : sessions;
	r = list_sessions(sessions, &names);
	for (size_t i = names.n; r >= 0 && i > 0; i--) {
		char path[UL_SESSION_NAME_MAX + 4];
		int fd;

		snprintf(path, sizeof(path), "%s/up", names.at[i - 1]);
		fd = open_dir(sessions, path);
		if (fd < 0) {
			r = is_absent(fd) ? 0 : fd;
			continue;
		}
		r = ul_vector_push(&e->sessions, fd);
		if (r < 0)
			close(fd);
	}
	return r < 0 ? r : 0;
}

int ul_entries_open(int upper_fd, struct ul_entries *ret)
{
	int fd = open_dir(upper_fd, UL_KEPT);

	*ret = (struct ul_entries){.kept = fd < 0 ? -1 : fd};
	if (fd < 0 && !is_absent(fd))
		return fd;
	return open_sessions(upper_fd, ret);
}

void ul_entries_close(struct ul_entries *e)
{
	ul_cleanup_close(&e->kept);
	e->kept = -1;
	for (size_t i = 0; i < e->sessions.n; i++)
		close(e->sessions.at[i]);
	ul_vector_free(&e->sessions);
}

/* Whether the directory hides what lower layers have of this name. Not known: it counts as partial, and is not judged. */
static bool is_opaque(int dirfd, const char *name)
{
	ul_autoclose int fd = open_dir(dirfd, name);
	char value = 0;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, sizeof(value)) == 1 && value == 'y';
}

static bool has_directory(const struct ul_entries *e, size_t below, const char *name)
{
	struct stat st;

	for (size_t i = below; i <= e->sessions.n; i++) {
		int fd = i < e->sessions.n ? e->sessions.at[i] : e->kept;

		if (fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return S_ISDIR(st.st_mode);
	}
	return false;
}

int ul_entries_find(const struct ul_entries *e, const char *name, struct ul_entry *ret)
{
	for (size_t i = 0; i <= e->sessions.n; i++) {
		int fd = i < e->sessions.n ? e->sessions.at[i] : e->kept;
		struct stat st;

		if (fd < 0)
			continue;
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return -errno;
		}
		if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
			return 0;
		if (ret)
			*ret = (struct ul_entry){.mode = st.st_mode,
						 .dirfd = fd,
						 .partial = S_ISDIR(st.st_mode) && has_directory(e, i + 1, name) &&
							    !is_opaque(fd, name)};
		return 1;
	}
	return 0;
}
