/*
 * Stage overlay. Before: the lower lies at /nix/.ro of the new root, the upper at /nix/.rw. After: /nix/store of
 * the new root is the overlay of both. Or the kernel refused the upper of a disk, and a tmpfs has taken its place, as
 * the policy permits: that one wants a database, so the boot goes back.
 *
 * The kernel shows the strings of mount time in /proc/mounts for ever, and Nix compares them with the paths
 * it knows: so the mount is made from inside the new root. It is the classic mount(2), source `overlay`, one
 * `lowerdir=`: the new mount interface shows `lowerdir+=`, which Nix does not find.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/base/modules.h"
#include "initrd/stages/stages.h"
#include "initrd/upper/upper.h"

static const char what[] = "mounting the overlay";

/*
 * index=off, metacopy=off: an upper that meets another lower must not find stale file handles.
 * redirect_dir=nofollow: nothing written in the upper sends a lookup elsewhere in the lower.
 */
#define OPTIONS "index=off,metacopy=off,redirect_dir=nofollow"

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

/* The kernel's word is EINVAL for most; which of the layers it means is in its log only. */
static int explain(const struct ul_boot *b, const char *options, int error, struct ul_error *err)
{
	const struct ul_upper *u = &b->upper;

	if (!u->persistent)
		return ul_error_errno(err, UL_E_OVERLAY, what, options, NULL, error);
	return ul_error_set(err, UL_E_OVERLAY, what, options, "The kernel's log says why; the disk itself is sound.",
			    "the kernel refuses it over the %s on %s: %s", u->filesystem, u->device, strerror(error));
}

int ul_stage_overlay(struct ul_boot *b, struct ul_error *err)
{
	char options[512];
	size_t at = 0;
	int r;

	/* The last one opened lies on top: lowerdir's first. */
	at += (size_t)snprintf(options, sizeof(options), "lowerdir=");
	for (size_t i = b->n_lowers; i > 0 && at < sizeof(options); i--)
		at += (size_t)snprintf(options + at, sizeof(options) - at, "%s%s/%s", i == b->n_lowers ? "" : ":",
				       b->lowers[i - 1].mount, b->lowers[i - 1].store);
	if (at < sizeof(options))
		at += (size_t)snprintf(options + at, sizeof(options) - at, ",upperdir=%s,workdir=%s,%s",
				       UL_PATH_UPPER_STORE, UL_PATH_UPPER_WORK, OPTIONS);
	if (at >= sizeof(options))
		return ul_error_set(err, UL_E_OVERLAY, what, UL_PATH_STORE, NULL, "too many lowers for one mount");
	(void)ul_modules_load(b, "overlay");
	r = mount_inside(b, options);
	if (r == -ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, "overlay", "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	if (r == 0)
		return 0;
	(void)explain(b, options, -r, err);
	r = ul_upper_give_up(b, err);
	return r == 0 ? UL_STAGE_BACK : r;
}
