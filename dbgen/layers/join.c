#include "dbgen/layers/join.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/descent.h"
#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/names.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/overlay_marks.h"
#include "dbgen/layers/properties.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/layers/session.h"

/* Directories in each other, each of at least two bytes of a path: what lies deeper no path names, so none of Nix's. */
#define DEPTH_MAX (PATH_MAX / 2)

static const char what[] = "joining what earlier sessions left";

/* A directory that is being joined. */
struct level {
	char *name; /* in the one above; NULL: it is the layer itself */
	struct ul_names names;
	size_t next;
	struct ul_properties properties; /* of the session's, but for the layer's own */
};

struct job {
	const struct ul_join *join;
	struct ul_join_report *report;
	struct ul_error *err;
	struct ul_trash trash;
	int kept, sessions;
	unsigned int n_others;     /* entries of sessions/ that are not a session */
	int failed;                /* throwing one away: -code */
	struct ul_descent ways[2]; /* into the session's layer, and into the kept one */
	UL_VECTOR(struct level) levels;
};

/* A directory of the session over the kept one of the same path. */
struct pair {
	int session, kept;
};

static int fail(struct job *j, const char *name, int error)
{
	return ul_error_errno(j->err, UL_E_UPPER, what, name,
			      ul_errno_is_full(error) ? "Make room on the upper." : NULL, error);
}

/*
 * On a full filesystem what was thrown away is removed now, and the reserve helps: a directory that grows needs a
 * block. true: what met the error may be tried again, once.
 */
static bool make_room(struct job *j, int error)
{
	bool empty;

	if (!ul_errno_is_full(error))
		return false;
	return (j->trash.fd >= 0 && ul_trash_empty(&j->trash, UINT_MAX, &empty) == 0) |
	       ul_reserve_help(j->join->upper_fd, error);
}

/* 1: thrown away; 0: there is no such entry; -code. */
static int throw_away(struct job *j, int dirfd, const char *name)
{
	int r = ul_trash_move(&j->trash, dirfd, name);

	if (r < 0 && make_room(j, -r))
		r = ul_trash_move(&j->trash, dirfd, name);
	return r == -ENOENT ? 0 : r < 0 ? fail(j, name, -r) : 1;
}

/* Rules 2 and 4: the kept entry goes. */
static int remove_kept(struct job *j, int kept, const char *name)
{
	int r = throw_away(j, kept, name);

	j->report->removed += r > 0;
	return r < 0 ? r : 0;
}

/* 1: a sealed layer has this name, or it is that of Nix's hard links, which is every session's own; 0; or -code. */
static int is_sealed(struct job *j, const char *name)
{
	struct stat st;

	if (!strcmp(name, UL_LAYER_LINKS_NAME))
		return 1;
	for (size_t i = 0; i < j->join->n_sealed; i++) {
		if (fstatat(j->join->sealed[i], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (errno != ENOENT)
			return ul_error_errno(j->err, UL_E_CORRUPT, what, name, "Write the image again.", errno);
	}
	return 0;
}

static int rename_into(struct job *j, const struct pair *at, const char *name)
{
	int r = ul_layer_rename(at->session, name, at->kept, name);

	return r < 0 && make_room(j, -r) ? ul_layer_rename(at->session, name, at->kept, name) : r;
}

/* Rule 4. */
static int replace(struct job *j, const struct pair *at, const char *name)
{
	int r = remove_kept(j, at->kept, name);

	if (r < 0)
		return r;
	r = rename_into(j, at, name);
	if (r < 0)
		return fail(j, name, -r);
	j->report->joined++;
	return 0;
}

/* Rule 2. */
static int take_out(struct job *j, const struct pair *at, const char *name)
{
	int r = remove_kept(j, at->kept, name);

	if (r < 0 || unlinkat(at->session, name, 0) == 0)
		return r;
	r = throw_away(j, at->session, name);
	return r < 0 ? r : 0;
}

static void free_level(struct level *level)
{
	free(level->name);
	ul_names_free(&level->names);
}

/* All names of a directory. It is closed again: what lies below needs its descriptors. */
static int list(struct job *j, int fd, struct ul_names *ret)
{
	int r = ul_dir_names(fd, ret);

	return r == -ENOMEM ? ul_error_nomem(j->err, what) : r < 0 ? fail(j, UL_SESSIONS, -r) : 0;
}

/*
 * Names are taken down first: a directory that is read while entries leave it may show some twice, or not at all.
 * name: of a directory of rule 3, which has properties to keep; NULL: the layer itself.
 */
static int read_level(struct job *j, const struct pair *at, const char *name, struct level *ret)
{
	int r = 0;

	(void)ul_take_flags_off(at->session, ".");
	(void)ul_take_flags_off(at->kept, ".");
	if (name) {
		ret->name = strdup(name);
		r = ret->name ? ul_properties_read(at->session, &ret->properties) : -ENOMEM;
	}
	if (r < 0)
		return fail(j, name, -r);
	r = list(j, at->session, &ret->names);
	if (r == 0 && name && ret->names.n > 0)
		ul_properties_record(at->session, &ret->properties);
	return r;
}

/* Go into both directories, which are taken over, also on failure. */
static int enter(struct job *j, const struct pair *at, const char *name)
{
	struct level level = {.name = NULL};
	int r = ul_descent_enter(&j->ways[0], at->session), other = ul_descent_enter(&j->ways[1], at->kept);

	r = r < 0 || other < 0 ? fail(j, name ? name : UL_SESSIONS, r < 0 ? -r : -other)
			       : read_level(j, at, name, &level);
	if (r == 0 && ul_vector_push(&j->levels, level) < 0)
		r = ul_error_nomem(j->err, what);
	if (r < 0)
		free_level(&level);
	return r;
}

/* What is left of rule 3 once the entries are joined. */
static int leave(struct job *j)
{
	struct level level = j->levels.at[--j->levels.n];
	int session = ul_descent_fd(&j->ways[0]), kept = ul_descent_fd(&j->ways[1]);
	int r = level.name ? ul_properties_give(&level.properties, session, kept) : 0;

	if (r < 0 && make_room(j, -r))
		r = ul_properties_give(&level.properties, session, kept);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(j->ways); i++)
		r = ul_descent_leave(&j->ways[i]);
	if (r == 0 && level.name && unlinkat(ul_descent_fd(&j->ways[0]), level.name, AT_REMOVEDIR) < 0)
		r = -errno;
	if (r < 0)
		r = fail(j, level.name, -r);
	free_level(&level);
	return r;
}

/* The part of the session; the kept one, which has as little to do with a path of Nix's down there, stays as it is. */
static int throw_deep(struct job *j, const struct pair *at, const char *name)
{
	int r = throw_away(j, at->session, name);

	j->report->deep += r > 0;
	return r < 0 ? r : 0;
}

/* No rename goes out of a subvolume of btrfs, or into one. */
static bool are_of_one_device(int above, int session, int kept)
{
	struct stat st[3];

	return fstat(above, &st[0]) < 0 || fstat(session, &st[1]) < 0 || fstat(kept, &st[2]) < 0 ||
	       (st[0].st_dev == st[1].st_dev && st[0].st_dev == st[2].st_dev);
}

/* Rules 3 to 5. */
static int join_directory(struct job *j, const struct pair *at, const char *name)
{
	ul_autoclose int session = openat(at->session, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int kept = -1;
	struct ul_overlay_marks marks;
	struct pair below;
	int r;

	if (session < 0)
		return fail(j, name, errno);
	r = ul_overlay_marks_read(session, j->join->userxattr, &marks);
	if (r < 0)
		return fail(j, name, -r);
	if (marks.opaque)
		return replace(j, at, name);
	kept = openat(at->kept, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (kept < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return fail(j, name, errno);
	if (kept >= 0 && (j->levels.n > DEPTH_MAX || !are_of_one_device(at->kept, session, kept)))
		return throw_deep(j, at, name);
	if (kept >= 0) {
		below = (struct pair){.session = ul_steal_fd(&session), .kept = ul_steal_fd(&kept)};
		return enter(j, &below, name);
	}
	if (!marks.copied)
		return replace(j, at, name);
	r = throw_away(j, at->session, name);
	j->report->orphans += r > 0;
	return r < 0 ? r : 0;
}

static int join_entry(struct job *j, const struct pair *at, const char *name)
{
	struct stat st;
	int r = j->levels.n == 1 ? is_sealed(j, name) : 0;

	if (r < 0)
		return r;
	if (r > 0) {
		r = throw_away(j, at->session, name);
		j->report->sealed += r > 0;
		return r < 0 ? r : 0;
	}
	if (fstatat(at->session, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(j, name, errno);
	if (ul_overlay_is_whiteout(&st))
		return take_out(j, at, name);
	return S_ISDIR(st.st_mode) ? join_directory(j, at, name) : replace(j, at, name);
}

/* A session's layer, whose descriptor is taken over, with what lies in it. */
static int join_layer(struct job *j, int up)
{
	struct pair at = {.session = up, .kept = fcntl(j->kept, F_DUPFD_CLOEXEC, 0)};
	int r = at.kept < 0 ? fail(j, UL_KEPT, errno) : enter(j, &at, NULL);

	if (at.kept < 0)
		close(up);
	while (r == 0 && j->levels.n > 0) {
		struct level *level = &j->levels.at[j->levels.n - 1];

		at = (struct pair){.session = ul_descent_fd(&j->ways[0]), .kept = ul_descent_fd(&j->ways[1])};
		r = level->next == level->names.n ? leave(j) : join_entry(j, &at, level->names.at[level->next++]);
	}
	while (j->levels.n > 0)
		free_level(&j->levels.at[--j->levels.n]);
	ul_vector_free(&j->levels);
	for (size_t i = 0; i < UL_ARRAY_SIZE(j->ways); i++)
		ul_descent_close(&j->ways[i]);
	return r;
}

static int join_session(struct job *j, const char *name)
{
	int up = ul_session_open(j->sessions, name), r = 0;

	/* A cut in the middle of making it leaves one without. */
	if (up >= 0)
		r = join_layer(j, up);
	else if (up == -EXDEV)
		j->report->deep++;
	else if (up != -ENOENT && up != -ENOTDIR && up != -ELOOP)
		r = fail(j, name, -up);
	if (r == 0 && syncfs(j->sessions) < 0)
		r = fail(j, name, errno);
	if (r == 0)
		r = throw_away(j, j->sessions, name);
	if (r < 0)
		return r;
	j->report->sessions++;
	return 0;
}

/* What is not a session goes, a bounded number at a boot. */
static int throw_other(void *arg, const char *name)
{
	struct job *j = arg;

	if (j->n_others++ < UL_TRASH_AT_A_BOOT)
		j->failed = throw_away(j, j->sessions, name);
	return j->failed < 0 ? -ECANCELED : 0;
}

static int list_sessions(struct job *j, struct ul_names *ret)
{
	int r = ul_session_list(j->sessions, throw_other, j, ret);

	if (r == -ENOMEM)
		return ul_error_nomem(j->err, what);
	return j->failed < 0 ? j->failed : r < 0 ? fail(j, UL_SESSIONS, -r) : 0;
}

static int join_all(struct job *j)
{
	ul_autonames struct ul_names names = {0};
	int r = list_sessions(j, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = join_session(j, names.at[i]);
	return r;
}

static int open_dir(struct job *j, const char *name, mode_t mode, int *ret_fd)
{
	int (*open)(int, const char *, mode_t, int *) = strcmp(name, UL_KEPT) ? ul_layer_dir_own : ul_layer_dir_open;
	int r = open(j->join->upper_fd, name, mode, ret_fd);

	if (r < 0 && make_room(j, -r))
		r = open(j->join->upper_fd, name, mode, ret_fd);
	if (r < 0)
		return fail(j, name, -r);
	j->report->mended += r > 0;
	return 0;
}

int ul_join_sessions(const struct ul_join *join, struct ul_join_report *ret, struct ul_error *err)
{
	struct job j = {.join = join, .report = ret, .err = err, .trash = {.fd = -1}, .kept = -1, .sessions = -1};
	int r;

	*ret = (struct ul_join_report){0};
	r = ul_trash_open(join->upper_fd, UL_TRASH, &j.trash);
	if (r < 0 && make_room(&j, -r))
		r = ul_trash_open(join->upper_fd, UL_TRASH, &j.trash);
	ret->mended += r > 0;
	r = r < 0 ? fail(&j, UL_TRASH, -r) : open_dir(&j, UL_KEPT, 0755, &j.kept);
	if (r == 0)
		r = open_dir(&j, UL_SESSIONS, 0700, &j.sessions);
	if (r == 0)
		r = join_all(&j);
	ul_cleanup_close(&j.kept);
	ul_cleanup_close(&j.sessions);
	ul_trash_close(&j.trash);
	return r;
}
