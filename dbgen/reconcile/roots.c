/*
 * Roots and profiles that lead to no store path any more: reported, never touched, since they may be right again with
 * the next image. The walk is bounded, follows nothing, and looks only at links straight into the store; indirect
 * roots lead to filesystems that are not mounted yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dbgen/reconcile/internal.h"

#define MAX_ENTRIES 20000
#define MAX_DEPTH   8
#define OWN         "underlay" /* the lower's own roots: the boot replaces them in a moment */

struct walk {
	struct ul_rc *c;
	unsigned int left;
};

static int look_at_link(struct walk *w, int fd, const char *name, const char *path)
{
	struct ul_rc *c = w->c;
	char target[PATH_MAX], object[PATH_MAX];
	ssize_t len = readlinkat(fd, name, target, sizeof(target) - 1);
	size_t dir = strlen(c->store_dir);
	int r;

	if (len < 0)
		return 0;
	target[len] = '\0';
	if (strncmp(target, c->store_dir, dir) != 0 || target[dir] != '/' || !target[dir + 1])
		return 0;
	target[dir + 1 + strcspn(target + dir + 1, "/")] = '\0';
	if (ul_rc_has_entry(c, target + dir + 1))
		return 0;
	r = ul_rc_lower_has(&c->lower, target + dir + 1, c->err);
	if (r != 0)
		return r < 0 ? r : 0;
	snprintf(object, sizeof(object), "%.2000s/%.255s", path, name);
	return ul_rc_report(c, UL_RECONCILE_DANGLING, object, "it leads to %s", target);
}

/* Takes fd. */
static int walk(struct walk *w, int fd, const char *path, unsigned int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		close(fd);
		return 0;
	}
	while (r == 0 && w->left > 0 && (entry = readdir(dir))) {
		char below[PATH_MAX];
		struct stat st;
		int child;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    (depth == 0 && !strcmp(entry->d_name, OWN)))
			continue;
		w->left--;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISLNK(st.st_mode)) {
			r = look_at_link(w, fd, entry->d_name, path);
		} else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
			child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			snprintf(below, sizeof(below), "%.3800s/%.255s", path, entry->d_name);
			if (child >= 0)
				r = walk(w, child, below, depth + 1);
		}
	}
	closedir(dir);
	return r;
}

int ul_rc_roots(struct ul_rc *c)
{
	static const char *const tops[] = {"gcroots", "profiles"};
	struct walk w = {.c = c, .left = MAX_ENTRIES};
	ul_autoclose int var = openat(c->o->upper_fd, "var", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int nix = var < 0 ? -1 : openat(var, "nix", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	for (size_t i = 0; nix >= 0 && r == 0 && i < UL_ARRAY_SIZE(tops); i++) {
		int fd = openat(nix, tops[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0)
			r = walk(&w, fd, tops[i], 0);
	}
	return r;
}
