#include "dbgen/collect/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/dir.h"
#include "common/file.h"
#include "dbgen/store/store_path.h"

#define TEMPORARY_MAX (256 << 20) /* bytes of one builder's file */

static const char what[] = "finding the collector's roots";

int ul_roots_add(const struct ul_roots_options *o, const char *path, struct ul_names *ret)
{
	const char *base = ul_store_base_in(o->store_dir, path);
	uint8_t digest[UL_DIGEST_SIZE];
	size_t len;

	if (!base && *o->root && !strncmp(path, o->root, strlen(o->root)))
		base = ul_store_base_in(o->store_dir, path + strlen(o->root));
	len = base ? strcspn(base, "/") : 0;
	if (len == 0 || !ul_store_base_parse(base, len, digest))
		return 0;
	/* A program's maps and files name the same path again and again. */
	if (ret->n > 0 && !strncmp(ret->at[ret->n - 1], base, len) && ret->at[ret->n - 1][len] == '\0')
		return 0;
	return ul_names_add_n(ret, base, len);
}

/* ---- gcroots and profiles ---- */

struct walk {
	const struct ul_roots_options *o;
	struct ul_names *ret;
	struct ul_error *err;
	unsigned int depth; /* of the directory, below /nix/var/nix */
	bool automatic;     /* it is gcroots/auto, or lies below it */
};

/* As for Nix, a directory that is gone or forbidden holds no root; any other error may hide one. */
static int unreadable(const struct walk *w, const char *name, int error)
{
	if (error == EACCES || error == ENOENT || error == ENOTDIR || error == ELOOP)
		return 0;
	if (error == ENOMEM)
		return ul_error_nomem(w->err, what);
	return ul_error_errno(w->err, UL_E_SYSTEM, what, name, NULL, error);
}

static int add(const struct walk *w, const char *path)
{
	return ul_roots_add(w->o, path, w->ret) < 0 ? ul_error_nomem(w->err, what) : 0;
}

/* Where a link leads: in the machine's own root, or below the place where that root is mounted. 0 or -errno. */
static int find_target(const struct walk *w, int dirfd, const char *target, char path[2 * PATH_MAX], mode_t *ret_type)
{
	struct stat st;
	int r;

	snprintf(path, 2 * PATH_MAX, "%s%s", *target == '/' ? w->o->root : "", target);
	r = fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	if (r == -ENOENT && *target == '/' && *w->o->root) {
		snprintf(path, 2 * PATH_MAX, "%s", target);
		r = fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	}
	if (r == 0)
		*ret_type = st.st_mode & S_IFMT;
	return r;
}

/* A link that leads out of the store: to a link that leads into it, or to nothing. */
static int look_at_indirect(const struct walk *w, int dirfd, const char *name, const char *target)
{
	char path[2 * PATH_MAX], second[PATH_MAX];
	mode_t type = 0;
	int r = find_target(w, dirfd, target, path, &type);

	if (r == -ENOENT && w->automatic && w->o->tidy)
		(void)unlinkat(dirfd, name, 0);
	if (r == 0 && type != S_IFLNK)
		return 0;
	if (r == 0)
		r = ul_read_link(dirfd, path, second);
	return r < 0 ? unreadable(w, path, -r) : add(w, second);
}

static int look_at_link(const struct walk *w, int dirfd, const char *name)
{
	char target[PATH_MAX];
	int r = ul_read_link(dirfd, name, target);

	if (r < 0)
		return unreadable(w, name, -r);
	if (ul_store_base_in(w->o->store_dir, target))
		return add(w, target);
	return look_at_indirect(w, dirfd, name, target);
}

/* Whatever it holds was sealed with the paths that it names. */
static bool is_sealed(const struct walk *w, int fd)
{
	struct stat st, sealed;
	struct statvfs fs;

	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0 || !(fs.f_flag & ST_RDONLY))
		return false;
	for (size_t i = 0; i < w->o->n_sealed; i++)
		if (fstat(w->o->sealed[i], &sealed) == 0 && st.st_dev == sealed.st_dev)
			return true;
	return false;
}

/* A file stands for the store path of its name. */
static int look_at_file(const struct walk *w, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", w->o->store_dir, name);
	return add(w, path);
}

static int look_through(const struct walk *w, int parent, const char *name);

static int look_at(const struct walk *w, int dirfd, const struct dirent *entry)
{
	unsigned char type = entry->d_type;
	struct stat st;

	if (type == DT_UNKNOWN) {
		if (fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return unreadable(w, entry->d_name, errno);
		type = IFTODT(st.st_mode);
	}
	if (type == DT_DIR)
		return look_through(w, dirfd, entry->d_name);
	if (type == DT_LNK)
		return look_at_link(w, dirfd, entry->d_name);
	return type == DT_REG ? look_at_file(w, entry->d_name) : 0;
}

static int look_through(const struct walk *w, int parent, const char *name)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(parent, name, &dir);

	if (r < 0)
		return unreadable(w, name, -r);
	if (is_sealed(w, dirfd(dir)))
		return 0;
	while ((r = ul_dir_next(dir, &entry)) > 0) {
		struct walk below = *w;

		below.depth++;
		below.automatic |= w->depth == 0 && !strcmp(name, "gcroots") && !strcmp(entry->d_name, "auto");
		r = look_at(&below, dirfd(dir), entry);
		if (r < 0)
			return r;
	}
	return r < 0 ? unreadable(w, name, -r) : 0;
}

int ul_roots_permanent(const struct ul_roots_options *o, struct ul_names *ret, struct ul_error *err)
{
	struct walk w = {.o = o, .ret = ret, .err = err};
	int r = look_through(&w, o->state_fd, "gcroots");

	return r < 0 ? r : look_through(&w, o->state_fd, "profiles");
}

/* ---- builders ---- */

/* Store paths, each with a NUL behind it; what a builder is just writing has none yet. */
static int take_temporary(const struct walk *w, const struct ul_buffer *text)
{
	const char *at = (const char *)text->data, *end = at + text->len;
	int r = 0;

	while (r == 0 && at < end) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul)
			break;
		r = add(w, at);
		at = nul + 1;
	}
	return r;
}

static int look_at_builder(const struct walk *w, int dirfd, const char *name)
{
	ul_autoclose int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ul_autobuffer struct ul_buffer text = {0};
	char path[64];
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : ul_error_errno(w->err, UL_E_SYSTEM, what, name, NULL, errno);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		/* Its builder has died. A new one that has opened it and waits for the lock sees that it is stale. */
		if (w->o->tidy && unlinkat(dirfd, name, 0) == 0)
			(void)!write(fd, "d", 1);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return ul_error_errno(w->err, UL_E_SYSTEM, what, name, NULL, errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = ul_read_file(AT_FDCWD, path, TEMPORARY_MAX, &text);
	return r < 0 ? ul_error_errno(w->err, UL_E_SYSTEM, what, name, NULL, -r) : take_temporary(w, &text);
}

int ul_roots_temporary(const struct ul_roots_options *o, struct ul_names *ret, struct ul_error *err)
{
	struct walk w = {.o = o, .ret = ret, .err = err};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(o->state_fd, "temproots", &dir);

	if (r == -ENOENT)
		return 0;
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		if (entry->d_name[0] == '.')
			continue;
		r = look_at_builder(&w, dirfd(dir), entry->d_name);
		if (r < 0)
			return r;
	}
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, "temproots", NULL, -r) : 0;
}
