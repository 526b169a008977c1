/*
 * The directories of the upper. Before: its filesystem is mounted, with anything on it: symlinks in the place of
 * directories, pipes, devices, overlay's own marks. After: each directory below is one, is root's, has the mode that it
 * must have, bears no extended attribute that means something, and takes a file; one of
 * them is empty; the lock is held.
 *
 * Nothing is followed: each directory is opened from its parent's descriptor with O_NOFOLLOW. What has a wrong
 * type, or cannot be made usable, is renamed to NAME.bad-N and a new one made. Nobody else writes here before the
 * system starts, so what was checked by descriptor may be used by its path afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/layers/session.h"
#include "dbgen/layers/trash.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

#define XATTR_MAX   65536 /* bytes of a list: the kernel's limit */
#define EMPTIED_MAX 64    /* entries that are thrown away one by one */

static const char what[] = "preparing the upper's directories";

static const struct dir {
	const char *parent, *name; /* parent: a path from the upper's root, all of it rows above */
	mode_t mode;
	bool emptied;
	bool counted_on; /* lower.json counts on what it holds: without it that is forgotten */
	enum { PERMITTED, REPLACED, REFUSED } subvolume; /* of btrfs */
	bool optional;                                   /* whoever needs it makes it */
	const char *why;
} dirs[] = {
	/* Layers are the kernel's alone: whoever reached one by its path could change what lies beneath the overlay. */
	{".", UL_KEPT, 0700, false, true, REFUSED, false,
	 "what earlier sessions left: the lowest layer of the overlay"},
	{".", UL_SESSIONS, 0700, false, false, REPLACED, false, "one layer a boot"},
	{".", UL_TRASH, 0700, false, false, REPLACED, false, "what is to be deleted"},
	/* Reconcile moves into it, and back. */
	{".", "quarantine", 0700, false, false, REPLACED, true, "what was moved out of the way"},
	{".", "var", 0755, false, false, PERMITTED, false, "Nix's state: it is bound to /nix/var"},
	/* Later stages write below these as root, so none may lead elsewhere. */
	{"var", "nix", 0755, false, false, PERMITTED, false, "Nix's state"},
	{"var/nix", "db", 0755, false, false, PERMITTED, false, "the database"},
	{"var/nix", "profiles", 0755, false, false, PERMITTED, false, "stage system looks here"},
	{"var/nix", "gcroots", 0755, false, false, PERMITTED, false, "roots of the collector"},
	{"var/nix/gcroots", "underlay", 0755, true, false, REPLACED, false,
	 "those of the lower's: each boot mounts them there"},
};

/* Files of ours; the directories are made right before. */
static const struct {
	const char *dir;
	const char *names[16];
} files[] = {
	{".",
	 {"lower.json", "lower.json.tmp", "clean", "clean.tmp", "report.json", "report.json.tmp", "machine-id",
	  "machine-id.tmp", "reserve"}},
	{"var/nix/db",
	 {"db.sqlite", "db.sqlite.tmp", "db.sqlite-journal", "db.sqlite-wal", "db.sqlite-shm", "schema", "schema.tmp",
	  "reserved", "big-lock"}},
};

/* Marks that the overlay itself leaves at each boot on the roots that it is given. */
static bool is_usual(const char *name)
{
	static const char *const usual[] = {"trusted.overlay.uuid", "trusted.overlay.origin", "trusted.overlay.impure"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(usual); i++)
		if (!strcmp(name, usual[i]))
			return true;
	return false;
}

/*
 * The overlay reads its marks (opaque, redirect, origin) from the root of its upper, and the store's new files would
 * inherit a default ACL. Labels (security.*) are the system's own business. Returns how many went that had no
 * business there, or -errno.
 */
static int remove_xattrs(int fd, const char *path)
{
	ul_autofree char *list = malloc(XATTR_MAX);
	ssize_t len = list ? flistxattr(fd, list, XATTR_MAX) : -1;
	int n = 0;

	if (!list)
		return -ENOMEM;
	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		char shown[128];

		if (!strncmp(name, "security.", 9))
			continue;
		if (fremovexattr(fd, name) < 0 && errno != ENODATA)
			return -errno;
		if (is_usual(name))
			continue;
		ul_escape_text(shown, sizeof(shown), name);
		ul_log(UL_LOG_WARNING, "upper: %s had the attribute %s: removed", path, shown);
		n++;
	}
	return n;
}

/*
 * Whether a file can be made in it: an encrypted directory without its key, say, cannot. The file has no name, which
 * somebody could have taken for something else. A full disk is not a reason to put the directory away, or to fail: its
 * owner wants to boot and tidy up. 0 or -errno.
 */
static int try_writing(int fd)
{
	ul_autoclose int file = openat(fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	return file >= 0 || ul_errno_is_full(errno) ? 0 : -errno;
}

/* The open directory: owner, mode, attributes. 0 or -errno; counts in *mended. */
static int make_right(int fd, const char *path, mode_t mode, uint32_t *mended)
{
	struct stat st;
	int n;

	(void)ul_take_flags_off(fd, ".");
	n = remove_xattrs(fd, path);
	if (n < 0)
		return n;
	*mended += (uint32_t)n;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Only what differs is written: a full or worn disk is spared. */
	if ((st.st_uid != 0 || st.st_gid != 0) && fchown(fd, 0, 0) < 0)
		return -errno;
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return -errno;
	return try_writing(fd);
}

/*
 * A new directory comes in the place of one that something counts on: the next reconcile must not take the upper for
 * the one that it left. First of all, so that a cut leaves no empty one that counts. 0 or -errno.
 */
static int forget(struct ul_upper *u, const char *path)
{
	int r = ul_layer_remove(u->fd, "lower.json");

	if (r < 0)
		return r == -ENOENT || r == -EISDIR ? 0 : r;
	u->kept_lost = true;
	ul_log(UL_LOG_WARNING, "upper: %s is not the directory that it was: what was built on this machine is lost",
	       path);
	return fsync(u->fd) < 0 ? -errno : 0;
}

/* Read-only may be a subvolume alone: what it lies in can be written, and it is put aside. */
static bool is_mediums(int above, int error)
{
	return ul_upper_is_medium(error) && (error != EROFS || try_writing(above) < 0);
}

/*
 * Open the directory d in `above` as one that is right; make it where it is not there. *ret_fd: -1 where it is optional
 * and was not.
 */
static int open_right(struct ul_upper *u, int above, const struct dir *d, const char *path, int *ret_fd)
{
	for (int attempt = 0; attempt < 3; attempt++) {
		ul_autoclose int fd = openat(above, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? -errno : make_right(fd, path, d->mode, &u->n_mended), missing = fd < 0 && r == -ENOENT;

		if (r == 0) {
			*ret_fd = ul_steal_fd(&fd);
			return 0;
		}
		if (missing && d->optional) {
			*ret_fd = -1;
			return 0;
		}
		if (is_mediums(above, -r))
			return r;
		r = d->counted_on ? forget(u, path) : 0;
		if (r == 0)
			r = !missing                            ? ul_upper_move_aside(above, d->name)
			    : mkdirat(above, d->name, 0700) < 0 ? -errno
								: 0;
		if (r < 0)
			return r;
		u->n_mended += !missing;
	}
	return -EPERM;
}

/*
 * What it holds is thrown away: of an Underlay before 0.2 a directory with a link for each top-level path of the image.
 * That is a rename; the links go a bounded number at a boot, with the rest of the trash. -E2BIG: more than any
 * Underlay left; or -errno.
 */
static int empty_dir(int root, int fd)
{
	struct ul_trash trash = {.fd = -1};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	unsigned int n = 0;
	int r = ul_dir_open(fd, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		if (trash.fd < 0)
			r = ul_trash_open(root, UL_TRASH, &trash);
		if (r >= 0)
			r = n++ < EMPTIED_MAX ? ul_trash_move(&trash, fd, entry->d_name) : -E2BIG;
	}
	ul_trash_close(&trash);
	return r;
}

/*
 * Out of the way, and a new one in its place: what cannot be emptied, being too deep or of a kind that cannot be
 * deleted, or is a subvolume.
 */
static int make_anew(struct ul_upper *u, int above, const struct dir *d, const char *path, int *fd)
{
	int r;

	u->n_mended++;
	ul_cleanup_close(fd);
	*fd = -1;
	r = ul_upper_move_aside(above, d->name);
	return r < 0 ? r : open_right(u, above, d, path, fd);
}

/*
 * A subvolume of btrfs looks like a directory, and no rename leaves it: not the join's of what a session built, nor the
 * one into the trash. 1: it is one; 0: it is not; or -errno.
 */
static int is_subvolume(int above, int fd)
{
	struct stat parent, st;

	if (fstat(above, &parent) < 0 || fstat(fd, &st) < 0)
		return -errno;
	return parent.st_dev != st.st_dev;
}

static int refuse_subvolume(const char *path, struct ul_error *err)
{
	return ul_error_set(err, UL_E_UPPER, what, path, "Make it a plain directory, and move into it what it holds.",
			    "it is a subvolume, into and out of which nothing can be renamed");
}

static int fail(const char *path, int error, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_UPPER, what, path,
			      ul_errno_is_full(error) ? "Free some space on it." : "Check the disk.", error);
}

static int make_dir(struct ul_boot *b, const struct dir *d, struct ul_error *err)
{
	struct ul_upper *u = &b->upper;
	/* The rows above made every part of it a directory of ours. */
	ul_autoclose int above = openat(u->fd, d->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ul_autoclose int fd = -1;
	bool top = *d->parent == '.';
	char path[PATH_MAX];
	int r = above < 0 ? -errno : 0;

	snprintf(path, sizeof(path), UL_PATH_UPPER "%s%s/%s", top ? "" : "/", top ? "" : d->parent, d->name);
	if (r == 0)
		r = open_right(u, above, d, path, &fd);
	if (r == 0 && fd >= 0)
		r = is_subvolume(above, fd);
	if (r == 1 && d->subvolume == REFUSED)
		return refuse_subvolume(path, err);
	if (r >= 0 && ((d->emptied && empty_dir(u->fd, fd) < 0) || (r == 1 && d->subvolume == REPLACED)))
		r = make_anew(u, above, d, path, &fd);
	else if (r == 1)
		r = 0;
	if (r == 0 && fsync(above) < 0)
		r = -errno;
	return r < 0 ? fail(path, -r, err) : 0;
}

/*
 * Flags on the files that this boot, or the system, replaces or writes: each would stop it. They are taken off here at
 * once for all who come later.
 */
static void free_files(int root)
{
	for (size_t i = 0; i < UL_ARRAY_SIZE(files); i++) {
		ul_autoclose int dir = openat(root, files[i].dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		for (size_t k = 0; dir >= 0 && files[i].names[k]; k++)
			(void)ul_take_flags_off(dir, files[i].names[k]);
	}
}

static int lay_out(struct ul_boot *b, struct ul_error *err)
{
	struct ul_upper *u = &b->upper;
	int r = make_right(u->fd, UL_PATH_UPPER, 0700, &u->n_mended);

	if (r < 0)
		return fail(UL_PATH_UPPER, -r, err);
	if (u->lock_fd < 0)
		r = ul_upper_lock(u->fd, UL_PATH_UPPER, &u->lock_fd, err);
	if (r == 0)
		r = ul_upper_take_over(u->fd, err);
	if (r == 0)
		r = ul_upper_clear_anew(u->fd, err);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(dirs); i++)
		r = make_dir(b, &dirs[i], err);
	if (r == 0)
		free_files(u->fd);
	return r;
}

/* On a full disk again, as long as the reserve has something to give: each part finds what it did before done. */
int ul_upper_layout(struct ul_boot *b, struct ul_error *err)
{
	int r, round = 0;

	do
		r = lay_out(b, err);
	while (r == -UL_E_UPPER && round++ < UL_RESERVE_ROUNDS && ul_reserve_help(b->upper.fd, err->errnum));
	return r;
}
