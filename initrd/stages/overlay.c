/*
 * Stage overlay. Before: the lower lies at /nix/.ro of the new root, the upper at /nix/.rw with this boot's session.
 * After: /nix/store of the new root is the overlay: the session on top, which can add; beneath it the sealed store,
 * which its names layer keeps whole (dbgen/layers/names.h); beneath that what earlier sessions left. Or the kernel
 * refused the upper of a disk, and a tmpfs has taken its place, as the policy permits: that one wants a database, so
 * the boot goes back.
 *
 * The kernel shows the strings of mount time in /proc/mounts for ever, and Nix compares them with the paths
 * it knows: so the mount is made from inside the new root. It is the classic mount(2), source `overlay`, one
 * `lowerdir=`: the new mount interface shows `lowerdir+=`, which Nix does not find.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/modules.h"
#include "initrd/stages/layers.h"
#include "initrd/stages/stages.h"
#include "initrd/upper/upper.h"

static const char what[] = "mounting the overlay";

/*
 * index=off, metacopy=off: an upper that meets another lower must not find stale file handles.
 * redirect_dir=nofollow: nothing written in the upper sends a lookup elsewhere in the lower.
 * xino=off: no module parameter has inode numbers told from file handles of the lower.
 */
#define OPTIONS "index=off,metacopy=off,redirect_dir=nofollow,xino=off"

/* The mount's options as they are put together: a page at most, which mount(2) takes. */
struct options {
	char text[4096];
	size_t at;
	bool any; /* a layer is there already */
};

static int mount_inside(const struct ul_boot *b, const char *options)
{
	ul_autoclose int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ul_autoclose int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (old < 0 || cwd < 0 || chroot(b->root) < 0)
		return -errno;
	r = chdir("/") < 0 || mount("overlay", UL_PATH_STORE, "overlay", MS_NOSUID | MS_NODEV, options) < 0 ? -errno
													    : 0;
	if (fchdir(old) < 0 || chroot(".") < 0 || fchdir(cwd) < 0)
		return -errno;
	return r;
}

/*
 * Where the kernel can make nothing in workdir (a full disk, no inode left) it mounts the overlay all the same,
 * read-only, and says so in its log alone (fs/overlayfs/super.c, ovl_make_workdir). Such a store takes nothing: it is
 * taken down.
 */
static int demand_writable(const struct ul_boot *b)
{
	char path[PATH_MAX];
	struct statvfs st;

	ul_boot_path(b, UL_PATH_STORE, path);
	if (statvfs(path, &st) < 0)
		return -errno;
	if (!(st.f_flag & ST_RDONLY))
		return 0;
	return umount2(path, MNT_DETACH) < 0 ? -errno : -EROFS;
}

/* The kernel's word is EINVAL for most; which of the layers it means is in its log only. */
static int explain(const struct ul_boot *b, const char *options, int error, struct ul_error *err)
{
	const struct ul_upper *u = &b->upper;

	if (!u->persistent)
		return ul_error_errno(err, UL_E_OVERLAY, what, options, NULL, error);
	if (error == EROFS)
		return ul_error_set(err, UL_E_OVERLAY, what, u->device, "Make room on the upper.",
				    "the kernel can make no directory in it, and would mount the store read-only");
	return ul_error_set(err, UL_E_OVERLAY, what, options, "The kernel's log says why; the disk itself is sound.",
			    "the kernel refuses it over the %s on %s: %s", u->filesystem, u->device, strerror(error));
}

/* One layer's path, the last one opened on top: lowerdir's first. false: the mount's options have no room for it. */
static bool add_layer(struct options *o, const char *path)
{
	o->at += (size_t)snprintf(o->text + o->at, sizeof(o->text) - o->at, "%s%s", o->any ? ":" : "lowerdir=", path);
	o->any = true;
	return o->at < sizeof(o->text);
}

/*
 * SEALED : [LINKS :] NAMES : ... : KEPT. The names come directly behind the layer that they belong to, so that nothing
 * further down is merged into it, be it another lower's or what earlier boots left.
 */
static bool add_layers(const struct ul_boot *b, const struct ul_layers *layers, struct options *o)
{
	char path[PATH_MAX];
	bool fits = true;

	for (size_t i = b->n_lowers; fits && i > 0; i--) {
		const struct ul_lower *lower = &b->lowers[i - 1];
		const struct ul_lower_guard *guard = &layers->of[i - 1];

		snprintf(path, sizeof(path), "%s/%s", lower->mount, lower->store);
		fits = add_layer(o, path) && (!*guard->links || add_layer(o, guard->links)) &&
		       (!*guard->names || add_layer(o, guard->names));
	}
	if (fits && b->upper.persistent)
		fits = add_layer(o, UL_PATH_UPPER "/" UL_KEPT);
	if (fits)
		o->at +=
			(size_t)snprintf(o->text + o->at, sizeof(o->text) - o->at,
					 ",upperdir=" UL_PATH_UPPER "/%s/up,workdir=" UL_PATH_UPPER "/%s/work," OPTIONS,
					 b->upper.session, b->upper.session);
	return o->at < sizeof(o->text);
}

int ul_stage_overlay(struct ul_boot *b, struct ul_error *err)
{
	struct options o = {.any = false};
	struct ul_layers layers;
	int r = ul_layers_prepare(b, &layers, err);

	if (r < 0)
		return r;
	if (!add_layers(b, &layers, &o))
		return ul_error_set(err, UL_E_OVERLAY, what, UL_PATH_STORE, NULL, "too many lowers for one mount");
	(void)ul_modules_load(b, "overlay");
	r = mount_inside(b, o.text);
	if (r == -ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, "overlay", "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	if (r == 0)
		r = demand_writable(b);
	if (r == 0)
		return 0;
	(void)explain(b, o.text, -r, err);
	r = ul_upper_give_up(b, err);
	return r == 0 ? UL_STAGE_BACK : r;
}
