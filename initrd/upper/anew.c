/*
 * Making var/ anew, for a filesystem that nobody checked whole. Before: what earlier sessions left is joined, the
 * database is reconciled, and nothing more is thrown away in this boot. After: var/, and the files beside it that
 * this boot or the running system will replace, are new inodes with the same contents; the old ones lie in the
 * trash; /nix/var is bound to the new var/.
 *
 * On a crafted filesystem an inode may own blocks that the bitmap calls free. They are taken by what is made next:
 * by the copies, or by the session. So an old inode must neither be written afterwards nor be freed: to free it
 * would free the blocks of whatever has them now, a second time. Hence the order: what there is to free is freed;
 * then the copies are made; then the session is. The old var/ is freed by the next boot, before that one makes its
 * copies.
 *
 * The rule, for the rest of the boot and for the running system: of what lay on the upper when it was mounted nothing
 * is freed, truncated or written from here on. What is made from here on is free to go. Who frees, and why he keeps to
 * it:
 *   reconcile, sweep, join, layout, take_over   quarantine/, trash/, kept/, reserve, sessions: all of it before this
 *   clear, below                                trash/, files that a cut left: before the copies
 *   copy_var, below                             the reserve: before the copies, which are made a second time then
 *   the failure of this stage, another slot     begins with a clear; no session is there yet
 *   stages database, overlay, handover          files in var/, machine-id: new; a tmpfs instead: frees nothing
 *   mark-clean, at the shutdown                 clean, clean.tmp: new, or gone since clear
 *   underlay gc                                 rows and the session's entries: new; kept/ and trash/ it leaves
 *   underlay db reconcile                       refuses the upper of a running system (cli/upper_running.c)
 *   Nix's collector, users                      the session's layer, var/: new; overlayfs does not write lower layers
 *   the kernel itself, quotas and mmp           not used: initrd/policy/upper_features.c, the rows of "anew"
 *   the kernel itself, ext4's orphan_file       a number in 4 bytes that are zero: it can give an entry that was
 *                                               removed its inode back, but no name (the kernel wipes that since 5.13)
 *
 * Users write in var/, too, and none may stop the machine: what passes a bound of copy.h stays in the old var/, in the
 * trash, until the next boot. The database comes first, and whole.
 *
 * A cut: var/ is whole at any instant, the old one or the new one, for they change places by one exchange after a sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/layers/session.h"
#include "dbgen/layers/trash.h"
#include "initrd/base/log.h"
#include "initrd/upper/copy.h"
#include "initrd/upper/upper.h"

#define VAR       "var"
#define VAR_NEW   VAR ".new"
#define FILE_MAX  (1 << 20) /* bytes: what is larger is not a file of ours */
#define TRASH_MAX 4000000   /* files that are freed */

static const char what[] = "making /nix/var anew";
static const char room[] = "Make room on the upper, or set [upper] guard = checked with ext4.";

/* Files that are replaced in a boot, at a shutdown. */
static const char *const files[] = {"machine-id", "clean", "lower.json", "report.json"};

static int fail(const char *name, int error, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_UPPER, what, name, ul_errno_is_full(error) ? room : "Check the disk.", error);
}

static int throw_away(struct ul_trash *t, int root, const char *name, const char *suffix, struct ul_error *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "%s%s", name, suffix);
	r = ul_trash_move(t, root, path);
	return r < 0 && r != -ENOENT ? fail(path, -r, err) : 0;
}

/*
 * On the disk, and over: XFS frees what was unlinked in the background, and goes on with that after a sync. A freeze
 * waits for it. btrfs frees a subvolume in the background as well, but asks for the owner of each block that it frees,
 * and gives no other's away.
 */
static int finish_freeing(int root)
{
	struct statfs fs;

	if (syncfs(root) < 0 || fstatfs(root, &fs) < 0)
		return -errno;
	if (fs.f_type == XFS_SUPER_MAGIC && (ioctl(root, FIFREEZE, 0) < 0 || ioctl(root, FITHAW, 0) < 0))
		return -errno;
	return 0;
}

/* All that is to be freed. */
static int clear(struct ul_trash *t, int root, struct ul_error *err)
{
	bool empty = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(files); i++) {
		r = throw_away(t, root, files[i], ".new", err);
		if (r == 0)
			r = throw_away(t, root, files[i], ".tmp", err);
	}
	if (r < 0)
		return r;
	r = ul_trash_empty(t, TRASH_MAX, &empty);
	if (r == 0)
		r = finish_freeing(root);
	return r < 0 ? fail(UL_TRASH, -r, err) : 0;
}

/* Something that is not a file of ours stays, and will not be read. */
static bool is_file(int root, const char *name)
{
	struct stat st;

	return fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX;
}

static int exchange(struct ul_trash *t, int root, const char *name, struct ul_error *err)
{
	char made[64];
	int r;

	snprintf(made, sizeof(made), "%s.new", name);
	r = ul_layer_exchange(root, made, name);
	return r < 0 ? fail(name, -r, err) : throw_away(t, root, made, "", err);
}

static const struct ul_copy_first first[] = {
	{.parent = "", .name = "nix"},
	{.parent = "nix", .name = "db", .whole = true},
	{.parent = "nix", .name = "profiles"},
	{.parent = "nix", .name = "gcroots"},
};

/*
 * Where there is no room the reserve is given up, and all is tried again: it is older than what was made so far, so
 * that goes first.
 */
static int copy_var(int root, struct ul_copy *c)
{
	int r = ul_copy_tree(c, root, VAR, VAR_NEW);

	if ((r < 0 ? ul_errno_is_full(c->err->errnum) : c->full) && ul_reserve_is_there(root)) {
		ul_copy_free(c);
		r = ul_remove_tree(root, VAR_NEW);
		if (r == 0)
			r = ul_reserve_release(root) ? finish_freeing(root) : -errno;
		r = r < 0 ? fail(VAR, -r, c->err) : ul_copy_tree(c, root, VAR, VAR_NEW);
	}
	if (r < 0)
		(void)ul_remove_tree(root, VAR_NEW);
	return r;
}

static int replace(struct ul_trash *t, struct ul_upper *u, struct ul_copy *c)
{
	int root = u->fd;
	bool is_there[UL_ARRAY_SIZE(files)] = {0};
	int r = copy_var(root, c);

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(files); i++) {
		char made[64];

		snprintf(made, sizeof(made), "%s.new", files[i]);
		is_there[i] = is_file(root, files[i]);
		if (is_there[i])
			r = ul_copy_file(c, root, files[i], made);
		else
			r = throw_away(t, root, files[i], "", c->err);
	}
	if (r == 0 && syncfs(root) < 0)
		r = fail(VAR, errno, c->err);
	if (r == 0)
		r = exchange(t, root, VAR, c->err);
	if (r == 0 && c->n_left_out > 0)
		snprintf(u->left_in, sizeof(u->left_in), UL_TRASH "/%lu", t->next - 1);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(files); i++)
		if (is_there[i])
			r = exchange(t, root, files[i], c->err);
	/* The session's is made anew, too. */
	if (r == 0)
		r = throw_away(t, root, UL_SESSIONS, "", c->err);
	if (r == 0 && fsync(root) < 0)
		r = fail(VAR, errno, c->err);
	return r;
}

int ul_upper_clear_anew(int root, struct ul_error *err)
{
	struct ul_trash trash = {.fd = -1};
	bool empty = false;
	struct stat st;
	int r;

	if (fstatat(root, VAR_NEW, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(VAR_NEW, errno, err);
	r = ul_trash_open(root, UL_TRASH, &trash);
	if (r >= 0)
		r = ul_trash_move(&trash, root, VAR_NEW);
	if (r == 0)
		r = ul_trash_empty(&trash, TRASH_MAX, &empty);
	ul_trash_close(&trash);
	return r < 0 ? fail(VAR_NEW, -r, err) : 0;
}

/* To the log, and for whoever asks later. */
static void tell_left_out(struct ul_upper *u, struct ul_copy *c)
{
	for (size_t i = 0; i < c->left_out.n; i++)
		ul_log(UL_LOG_WARNING, "upper: left out of the new /nix/var: %s", c->left_out.at[i]);
	if (c->n_left_out > 0)
		ul_log(UL_LOG_WARNING,
		       "upper: %llu places of /nix/var were left out; until the next boot they lie in " UL_PATH_UPPER
		       "/%s",
		       (unsigned long long)c->n_left_out, u->left_in);
	u->n_left_out = c->n_left_out;
	u->left_out = c->left_out;
	c->left_out = (struct ul_names){0};
}

int ul_upper_make_anew(struct ul_boot *b, struct ul_error *err)
{
	struct ul_copy copy = {.what = what,
			       .room = room,
			       .err = err,
			       .most = UL_COPY_ENTRIES,
			       .first = first,
			       .n_first = UL_ARRAY_SIZE(first)};
	struct ul_trash trash = {.fd = -1};
	uint64_t begin = ul_now_us(), bytes, entries;
	int root = b->upper.fd, r = ul_trash_open(root, UL_TRASH, &trash);

	if (r < 0)
		return fail(UL_TRASH, -r, err);
	r = clear(&trash, root, err);
	if (r == 0)
		r = replace(&trash, &b->upper, &copy);
	ul_trash_close(&trash);
	if (r == 0)
		tell_left_out(&b->upper, &copy);
	bytes = copy.bytes;
	entries = copy.entries;
	ul_copy_free(&copy);
	if (r == 0)
		r = ul_upper_unbind_state(b, err);
	if (r == 0)
		r = ul_upper_bind_state(b, err);
	if (r < 0)
		return r;
	b->upper.anew_us = ul_now_us() - begin;
	ul_log(UL_LOG_INFO, "upper: /nix/var was made anew: %llu entries, %.1f MB, in %.1f ms",
	       (unsigned long long)entries, (double)bytes / 1e6, (double)b->upper.anew_us / 1000);
	return 0;
}
