#include "dbgen/layers/entries.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/overlay_marks.h"
#include "dbgen/layers/session.h"

static int open_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Where something else has the directory's name, there is no directory that the overlay has shown. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static int open_sessions(int upper_fd, struct ul_entries *e)
{
	ul_autoclose int sessions = open_dir(upper_fd, UL_SESSIONS);
	ul_autonames struct ul_names names = {0};
	int r;

	if (sessions < 0)
		return is_absent(sessions) ? 0 : sessions;
	r = ul_session_list(sessions, NULL, NULL, &names);
	for (size_t i = names.n; r >= 0 && i > 0; i--) {
		int fd = ul_session_open(sessions, names.at[i - 1]);

		if (fd < 0) {
			r = is_absent(fd) || fd == -EXDEV ? 0 : fd;
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

/* 1: *ret is the entry; 0: there is none; -errno. */
static int look(int fd, const char *name, struct stat *ret)
{
	if (fstatat(fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

static int read_marks(int dirfd, const char *name, struct ul_overlay_marks *ret)
{
	ul_autoclose int fd = open_dir(dirfd, name);

	return fd < 0 ? fd : ul_overlay_marks_read(fd, false, ret);
}

/* A session over what lies beneath it, *at, by the rules of the join (join.h). 0 or -errno. */
static int put_over(int session, const char *name, struct ul_entry *at)
{
	struct ul_overlay_marks marks = {.opaque = false};
	struct stat st;
	int r = look(session, name, &st);

	if (r > 0 && S_ISDIR(st.st_mode)) {
		int error = read_marks(session, name, &marks);

		r = error < 0 ? error : r;
	}
	if (r <= 0)
		return r;
	if (S_ISDIR(st.st_mode) && !marks.opaque && S_ISDIR(at->mode))
		at->partial = true;
	/* What was changed of a directory that is gone: the join throws it away. */
	else if (S_ISDIR(st.st_mode) && !marks.opaque && marks.copied)
		return 0;
	else
		at->partial = false;
	at->mode = ul_overlay_is_whiteout(&st) ? 0 : st.st_mode;
	at->dirfd = session;
	return 0;
}

int ul_entries_find(const struct ul_entries *e, const char *name, struct ul_entry *ret)
{
	struct ul_entry at = {.dirfd = e->kept};
	struct stat st;
	int r = e->kept < 0 ? 0 : look(e->kept, name, &st);

	if (r > 0 && !ul_overlay_is_whiteout(&st))
		at.mode = st.st_mode;
	/* The newest session comes last: it is over all others. */
	for (size_t i = e->sessions.n; r >= 0 && i > 0; i--)
		r = put_over(e->sessions.at[i - 1], name, &at);
	if (r < 0)
		return r;
	if (ret && at.mode)
		*ret = at;
	return at.mode != 0;
}
