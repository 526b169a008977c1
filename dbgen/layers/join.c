#include "dbgen/layers/join.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/session.h"

#define DEPTH_MAX 200 /* directories that were copied up below each other; two descriptors each */

static const char what[] = "joining what earlier sessions left";

struct job {
	const struct ul_join *join;
	struct ul_join_report *report;
	struct ul_error *err;
	struct ul_trash trash;
	int kept;
};

/* A directory of the session over the kept one of the same path; -1 where there is no kept one. */
struct pair {
	int session, kept;
	unsigned int depth;
};

static int fail(struct job *j, const char *name, int error)
{
	return ul_error_errno(j->err, UL_E_UPPER, what, name, error == ENOSPC ? "Make room on the upper." : NULL,
			      error);
}

static int throw_away(struct job *j, int dirfd, const char *name)
{
	int r = ul_trash_move(&j->trash, dirfd, name);

	return r < 0 && r != -ENOENT ? fail(j, name, -r) : 0;
}

/* 1: a sealed layer has this name, or it is the directory of Nix's hard links, which is every session's own; 0; or -code. */
static int is_sealed(struct job *j, const char *name)
{
	struct stat st;

	if (!strcmp(name, ".links"))
		return 1;
	for (size_t i = 0; i < j->join->n_sealed; i++) {
		if (fstatat(j->join->sealed[i], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (errno != ENOENT)
			return ul_error_errno(j->err, UL_E_CORRUPT, what, name, "Write the image again.", errno);
	}
	return 0;
}

/* 1: overlayfs has marked it as one that hides all that lies beneath; 0; or -code. */
static int is_opaque(struct job *j, int fd, const char *name)
{
	char value = 0;

	if (fgetxattr(fd, "trusted.overlay.opaque", &value, sizeof(value)) >= 0)
		return value == 'y';
	return errno == ENODATA || errno == EOPNOTSUPP ? 0 : fail(j, name, errno);
}

/* Rules 2 and 4: the kept entry goes. */
static int remove_kept(struct job *j, int kept, const char *name)
{
	int r = ul_trash_move(&j->trash, kept, name);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fail(j, name, -r);
	j->report->removed++;
	return 0;
}

static int replace(struct job *j, const struct pair *at, const char *name)
{
	int r = remove_kept(j, at->kept, name);

	if (r < 0)
		return r;
	if (renameat2(at->session, name, at->kept, name, RENAME_NOREPLACE) < 0 &&
	    (!ul_take_flags_off(at->session, name) ||
	     renameat2(at->session, name, at->kept, name, RENAME_NOREPLACE) < 0))
		return fail(j, name, errno);
	j->report->joined++;
	return 0;
}

static int take_over(struct job *j, const struct pair *at, const char *name)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(at->session, &st) < 0 || fchown(at->kept, st.st_uid, st.st_gid) < 0 ||
	    fchmod(at->kept, st.st_mode & 07777) < 0)
		return fail(j, name, errno);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	return futimens(at->kept, times) < 0 ? fail(j, name, errno) : 0;
}

static int join_entries(struct job *j, const struct pair *at, bool top);

/* Rule 3. *ret_done: it was one, and its contents are joined. */
static int merge(struct job *j, const struct pair *at, const char *name, bool *ret_done)
{
	ul_autoclose int session = openat(at->session, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int kept = -1;
	struct pair below = {.depth = at->depth + 1};
	int r;

	*ret_done = false;
	if (session < 0)
		return errno == ENOTDIR || errno == ELOOP ? 0 : fail(j, name, errno);
	kept = openat(at->kept, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (kept < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : fail(j, name, errno);
	r = is_opaque(j, session, name);
	if (r != 0)
		return r < 0 ? r : 0;
	if (below.depth > DEPTH_MAX)
		return fail(j, name, ELOOP);
	below.session = session;
	below.kept = kept;
	r = join_entries(j, &below, false);
	if (r == 0)
		r = take_over(j, &below, name);
	if (r == 0 && unlinkat(at->session, name, AT_REMOVEDIR) < 0)
		r = fail(j, name, errno);
	*ret_done = r == 0;
	return r;
}

static int join_entry(struct job *j, const struct pair *at, const char *name, bool top)
{
	bool merged = false;
	struct stat st;
	int r = top ? is_sealed(j, name) : 0;

	if (r < 0)
		return r;
	if (r > 0) {
		j->report->sealed++;
		return throw_away(j, at->session, name);
	}
	if (fstatat(at->session, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(j, name, errno);
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0) {
		r = remove_kept(j, at->kept, name);
		return r < 0 ? r : throw_away(j, at->session, name);
	}
	if (S_ISDIR(st.st_mode))
		r = merge(j, at, name, &merged);
	return r < 0 || merged ? r : replace(j, at, name);
}

/* Names are taken down first: a directory that is read while entries leave it may show some twice, or not at all. */
static int join_entries(struct job *j, const struct pair *at, bool top)
{
	ul_autonames struct ul_names names = {0};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(at->session, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = ul_names_add(&names, entry->d_name);
	if (r < 0)
		return r == -ENOMEM ? ul_error_nomem(j->err, what) : fail(j, "sessions", -r);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = join_entry(j, at, names.at[i], top);
	return r;
}

static int join_session(struct job *j, int sessions, const char *name)
{
	char path[UL_SESSION_NAME_MAX + 4];
	ul_autoclose int up = -1;
	struct pair at = {.kept = j->kept};
	int r = 0;

	snprintf(path, sizeof(path), "%s/up", name);
	up = openat(sessions, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	at.session = up;
	/* A cut in the middle of making it leaves one without. */
	if (up >= 0)
		r = join_entries(j, &at, true);
	else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		r = fail(j, name, errno);
	if (r == 0 && syncfs(sessions) < 0)
		r = fail(j, name, errno);
	if (r == 0)
		r = throw_away(j, sessions, name);
	if (r == 0)
		j->report->sessions++;
	return r;
}

/* The sessions in their order; the number leads the name and has leading zeros. What is not a session goes. */
static int list_sessions(struct job *j, int sessions, struct ul_names *ret)
{
	ul_autonames struct ul_names strangers = {0};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	unsigned long number;
	int r = ul_dir_open(sessions, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = ul_names_add(ul_session_parse(entry->d_name, &number) ? ret : &strangers, entry->d_name);
	if (r < 0)
		return r == -ENOMEM ? ul_error_nomem(j->err, what) : fail(j, UL_SESSIONS, -r);
	for (size_t i = 0; r == 0 && i < strangers.n; i++)
		r = throw_away(j, sessions, strangers.at[i]);
	ul_names_sort(ret, false);
	return r;
}

static int join_all(struct job *j, int sessions)
{
	ul_autonames struct ul_names names = {0};
	int r = list_sessions(j, sessions, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = join_session(j, sessions, names.at[i]);
	return r;
}

static int open_kept(struct job *j)
{
	int upper = j->join->upper_fd;

	if (mkdirat(upper, UL_KEPT, 0755) < 0 && errno != EEXIST)
		return fail(j, UL_KEPT, errno);
	j->kept = openat(upper, UL_KEPT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return j->kept < 0 ? fail(j, UL_KEPT, errno) : 0;
}

int ul_join_sessions(const struct ul_join *join, struct ul_join_report *ret, struct ul_error *err)
{
	struct job j = {.join = join, .report = ret, .err = err, .trash = {.fd = -1}, .kept = -1};
	ul_autoclose int sessions =
		openat(join->upper_fd, UL_SESSIONS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	*ret = (struct ul_join_report){0};
	if (sessions < 0)
		return errno == ENOENT ? 0 : fail(&j, UL_SESSIONS, errno);
	r = ul_trash_open(join->upper_fd, UL_TRASH, &j.trash);
	r = r < 0 ? fail(&j, UL_TRASH, -r) : open_kept(&j);
	if (r == 0)
		r = join_all(&j, sessions);
	ul_cleanup_close(&j.kept);
	ul_trash_close(&j.trash);
	return r;
}
