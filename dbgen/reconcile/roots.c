/*
 * Roots and profiles that lead to no store path any more: reported, never touched, since they may be right again with
 * the next image. The walk is bounded, follows nothing, and looks only at links straight into the store; indirect
 * roots lead to filesystems that are not mounted yet.
 */
#include "dbgen/reconcile/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "common/file.h"
#include "dbgen/store/store_path.h"

#define MAX_ENTRIES 20000
#define MAX_DEPTH   8
#define OWN         "underlay" /* the lower's own roots: the boot replaces them in a moment */

struct walk {
	struct ul_upper_dir *upper;
	const struct ul_upper_store *store;
	struct ul_lower_rows *lower;
	const char *store_dir;
	unsigned int left; /* entries that are still looked at */
};

static int look_at_link(struct walk *w, int fd, const char *name, const char *path)
{
	char target[PATH_MAX], object[PATH_MAX];
	const char *base;
	int r = ul_read_link(fd, name, target);

	if (r < 0)
		return 0;
	base = ul_store_base_in(w->store_dir, target);
	if (!base || !*base)
		return 0;
	/* The store path that it leads into. */
	target[(size_t)(base - target) + strcspn(base, "/")] = '\0';
	if (ul_upper_store_has(w->store, base))
		return 0;
	r = ul_lower_rows_has(w->lower, base, w->upper->err);
	if (r != 0)
		return r < 0 ? r : 0;
	snprintf(object, sizeof(object), "%.2000s/%.255s", path, name);
	return ul_upper_dir_report(w->upper, UL_RECONCILE_DANGLING, object, "it leads to %s", target);
}

/* A directory that cannot be read is passed over: nothing depends on it. */
static int walk(struct walk *w, int fd, const char *name, const char *path, unsigned int depth)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = 0;

	if (ul_dir_open(fd, name, &dir) < 0)
		return 0;
	while (r == 0 && w->left > 0 && ul_dir_next_readable(dir, &entry)) {
		char below[PATH_MAX];
		struct stat st;

		if (depth == 0 && !strcmp(entry->d_name, OWN))
			continue;
		w->left--;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISLNK(st.st_mode)) {
			r = look_at_link(w, dirfd(dir), entry->d_name, path);
		} else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
			snprintf(below, sizeof(below), "%.3800s/%.255s", path, entry->d_name);
			r = walk(w, dirfd(dir), entry->d_name, below, depth + 1);
		}
	}
	return r;
}

int ul_roots_report(struct ul_upper_dir *u, const struct ul_upper_store *store, struct ul_lower_rows *lower)
{
	static const char *const tops[] = {"gcroots", "profiles"};
	struct walk w = {.upper = u,
			 .store = store,
			 .lower = lower,
			 .store_dir = ul_manifest_store_dir(lower->manifest),
			 .left = MAX_ENTRIES};
	ul_autoclose int var = openat(u->fd, "var", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int nix = var < 0 ? -1 : openat(var, "nix", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	for (size_t i = 0; nix >= 0 && r == 0 && i < UL_ARRAY_SIZE(tops); i++)
		r = walk(&w, nix, tops[i], tops[i], 0);
	return r;
}
