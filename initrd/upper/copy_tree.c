/* The walk through the tree that is copied: see copy.h. Depth costs neither descriptors nor stack. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/descent.h"
#include "common/dir.h"
#include "dbgen/layers/properties.h"
#include "initrd/upper/copy.h"

#define USERS "per-user"

/* A directory that is being copied. */
struct level {
	char *name;           /* in the one above; NULL: the top */
	struct ul_names dirs; /* that are copied in their turn */
	size_t next;
	bool listed;         /* its files are copied, and dirs has all its directories */
	bool whole;          /* no bound holds */
	bool users;          /* each directory in it is a user's */
	uint64_t most, room; /* what c->entries and c->space may come to in it */
	struct ul_properties properties;
};

struct walk {
	struct ul_copy *c;
	struct ul_descent from, to;
	UL_VECTOR(struct level) levels;
};

static struct level *last(const struct walk *w)
{
	return &w->levels.at[w->levels.n - 1];
}

/* From the tree's top, "" the top itself; one that is too long ends early. */
static void path_of(const struct walk *w, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 1; i < w->levels.n && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len > 0 ? "/" : "", w->levels.at[i].name);
}

/* name: in the directory that is being copied; NULL: more of it, or something of it. */
static int leave_out(struct walk *w, const char *name, const char *why)
{
	struct ul_copy *c = w->c;
	char path[256], text[400], shown[800];
	const char *more;

	if (c->n_left_out++ >= UL_COPY_TOLD)
		return 0;
	path_of(w, path, sizeof(path));
	more = strlen(path) == sizeof(path) - 1 ? "..." : "";
	snprintf(text, sizeof(text), "%s%s%s%.100s", path, more, *path && name ? "/" : "", name ? name : "");
	ul_escape_text(shown, sizeof(shown), *text ? text : ".");
	snprintf(text, sizeof(text), "%.300s: %s", shown, why);
	return ul_names_add(&c->left_out, text) < 0 ? ul_error_nomem(c->err, c->what) : 0;
}

static int leave_out_full(struct walk *w, const char *name)
{
	w->c->full = true;
	return leave_out(w, name, "there is no room for it twice");
}

/* The row of a directory that comes first; NULL: it does not. */
static const struct ul_copy_first *find_first(const struct walk *w, const char *name)
{
	char parent[64];

	for (size_t i = 0; i < w->c->n_first; i++) {
		if (strcmp(w->c->first[i].name, name) != 0)
			continue;
		path_of(w, parent, sizeof(parent));
		if (!strcmp(w->c->first[i].parent, parent))
			return &w->c->first[i];
	}
	return NULL;
}

/* ---- a directory is entered ---- */

static uint64_t share(uint64_t used, uint64_t most, uint64_t n)
{
	return most <= used ? most : used + (most - used) / n;
}

static void give_bounds(struct walk *w, const char *name, struct level *level)
{
	const struct ul_copy_first *first;
	struct level *above;
	struct statvfs fs;
	uint64_t n = 1, bytes;

	if (w->levels.n == 0) {
		bytes = fstatvfs(ul_descent_fd(&w->to), &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
		level->room = bytes > UL_COPY_SPARE ? w->c->space + bytes - UL_COPY_SPARE : w->c->space;
		level->most = w->c->most;
		return;
	}
	above = last(w);
	first = find_first(w, name);
	level->whole = above->whole || (first && first->whole);
	level->users = !strcmp(name, USERS);
	/* It has been taken out of the list: it counts itself. */
	n = level->users ? 2 : above->users ? above->dirs.n - above->next + 1 : 1;
	level->most = share(w->c->entries, above->most, n);
	level->room = share(w->c->space, above->room, n);
}

/* Those that come first. They need no reading of the directory, which may be endless. */
static int list_first(struct walk *w)
{
	char path[64];
	int r = 0;

	path_of(w, path, sizeof(path));
	for (size_t i = 0; r == 0 && i < w->c->n_first; i++) {
		const struct ul_copy_first *first = &w->c->first[i];
		struct stat st;

		if (!strcmp(first->parent, path) &&
		    fstatat(ul_descent_fd(&w->from), first->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			r = ul_names_add(&last(w)->dirs, first->name);
	}
	return r;
}

/* The descriptors are taken over, also on failure. */
static int enter_pair(struct walk *w, const struct ul_copy_pair *at, const char *name, const struct ul_properties *p)
{
	struct level level = {.name = strdup(name), .properties = *p};
	int r = ul_descent_enter(&w->from, at->from), other = ul_descent_enter(&w->to, at->to);

	r = r < 0 ? r : other < 0 ? other : level.name ? 0 : -ENOMEM;
	if (r == 0) {
		give_bounds(w, name, &level);
		r = ul_vector_push(&w->levels, level);
	}
	if (r < 0)
		free(level.name);
	return r < 0 ? r : list_first(w);
}

static int make_dir(int dirfd, const char *name)
{
	int fd = mkdirat(dirfd, name, 0700) < 0 ? -1
						: openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* at: where it lies, and where its copy comes as `to`. */
static int enter(struct walk *w, const struct ul_copy_pair *at, const char *name, const char *to)
{
	struct ul_copy_pair below = {.from = openat(at->from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
	struct ul_properties p = {0};
	int r = below.from < 0 ? -errno : ul_properties_read(below.from, &p);

	if (r == 0) {
		below.to = make_dir(at->to, to);
		r = below.to < 0 ? below.to : enter_pair(w, &below, name, &p);
		if (below.to >= 0)
			return r < 0 ? ul_copy_fail(w->c, name, -r) : 0;
	}
	ul_cleanup_close(&below.from);
	/* A name that a directory has twice is one. */
	if (w->levels.n > 0 && r == -EEXIST)
		return 0;
	if (w->levels.n > 0 && ul_errno_is_full(-r) && !last(w)->whole)
		return leave_out_full(w, name);
	return ul_copy_fail(w->c, name, -r);
}

/* ---- what lies in it ---- */

static int add_directory(struct walk *w, const char *name)
{
	if (w->levels.n > UL_COPY_DEPTH && !last(w)->whole)
		return leave_out(w, name, "it lies deeper than any path");
	w->c->entries++;
	return ul_names_add(&last(w)->dirs, name) < 0 ? ul_error_nomem(w->c->err, w->c->what) : 0;
}

static int add_entry(struct walk *w, const struct ul_copy_pair *at, const char *name)
{
	struct ul_copy *c = w->c;
	bool whole = last(w)->whole;
	struct stat st;
	uint64_t space;
	int r = fstatat(at->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

	if (r < 0)
		return ul_copy_fail(c, name, -r);
	if (S_ISDIR(st.st_mode))
		return add_directory(w, name);
	c->entries++;
	space = S_ISREG(st.st_mode) ? (uint64_t)st.st_blocks * 512 : 0;
	if (!whole && space > 0 && (c->space > last(w)->room || space > last(w)->room - c->space))
		return leave_out_full(w, name);
	r = ul_copy_entry(c, at, name, &st);
	if (r == 0)
		c->space += space;
	else if (ul_errno_is_full(-r) && !whole)
		return leave_out_full(w, name);
	return r < 0 ? ul_copy_fail(c, name, -r) : 0;
}

static int list_level(struct walk *w)
{
	const struct ul_copy_pair at = {.from = ul_descent_fd(&w->from), .to = ul_descent_fd(&w->to)};
	ul_autodir DIR *dir = NULL;
	struct level *level = last(w);
	struct dirent *entry;
	int r = ul_dir_open(at.from, ".", &dir);

	level->listed = true;
	if (r < 0)
		return ul_copy_fail(w->c, level->name, -r);
	while ((r = ul_dir_next(dir, &entry)) > 0) {
		if (find_first(w, entry->d_name))
			continue;
		if (!level->whole && w->c->entries >= level->most)
			return leave_out(w, NULL, "it holds too many entries: not all are there");
		r = add_entry(w, &at, entry->d_name);
		if (r < 0)
			return r;
	}
	return r < 0 ? ul_copy_fail(w->c, level->name, -r) : 0;
}

/* ---- and it is left ---- */

static void free_last(struct walk *w)
{
	free(last(w)->name);
	ul_names_free(&last(w)->dirs);
	w->levels.n--;
}

static int leave(struct walk *w)
{
	struct level *level = last(w);
	int r = ul_properties_give(&level->properties, ul_descent_fd(&w->from), ul_descent_fd(&w->to));

	if (ul_errno_is_full(-r) && !level->whole)
		r = leave_out_full(w, NULL);
	else if (r < 0)
		r = ul_copy_fail(w->c, level->name, -r);
	if (r < 0)
		return r;
	r = ul_descent_leave(&w->from);
	if (r == 0)
		r = ul_descent_leave(&w->to);
	if (r < 0)
		return ul_copy_fail(w->c, level->name, -r);
	free_last(w);
	return 0;
}

static int step(struct walk *w)
{
	const struct ul_copy_pair at = {.from = ul_descent_fd(&w->from), .to = ul_descent_fd(&w->to)};
	struct level *level = last(w);
	const char *name;

	if (level->next == level->dirs.n)
		return level->listed ? leave(w) : list_level(w);
	name = level->dirs.at[level->next++];
	return enter(w, &at, name, name);
}

int ul_copy_tree(struct ul_copy *c, int dirfd, const char *name, const char *to)
{
	const struct ul_copy_pair at = {.from = dirfd, .to = dirfd};
	struct walk w = {.c = c};
	int r = enter(&w, &at, name, to);

	c->entries++;
	while (r == 0 && w.levels.n > 0)
		r = step(&w);
	while (w.levels.n > 0)
		free_last(&w);
	ul_vector_free(&w.levels);
	ul_descent_close(&w.from);
	ul_descent_close(&w.to);
	return r;
}
