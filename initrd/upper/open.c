/*
 * The upper at its place in the new root. Before: its filesystem is mounted at /nix/.rw, or is to be a tmpfs there.
 * After: b->upper.fd is open on it, it has its directories, and var/ is bound to /nix/var. Where a disk's upper cannot
 * be used, and the policy permits it, a tmpfs takes its place here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

int ul_upper_open_root(struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX];

	b->upper.fd = open(ul_boot_path(b, UL_PATH_UPPER, path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->upper.fd < 0)
		return ul_error_errno(err, UL_E_UPPER, "opening the upper", path, NULL, errno);
	return ul_upper_layout(b, err);
}

int ul_upper_open_tmpfs(struct ul_boot *b, uint64_t size, struct ul_error *err)
{
	char path[PATH_MAX], options[64] = "mode=0700,size=50%";

	if (size)
		snprintf(options, sizeof(options), "mode=0700,size=%llu", (unsigned long long)size);
	ul_boot_path(b, UL_PATH_UPPER, path);
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return ul_error_errno(err, UL_E_UPPER, "mounting the upper's tmpfs", path, NULL, errno);
	b->upper.fresh = true;
	snprintf(b->upper.filesystem, sizeof(b->upper.filesystem), "tmpfs");
	return ul_upper_open_root(b, err);
}

/* Nothing of the disk's upper stays but the reason, for everybody who asks. */
int ul_upper_fall_back(struct ul_boot *b, struct ul_error *err)
{
	struct ul_upper *u = &b->upper, none = {.fd = -1, .lock_fd = -1};
	char path[PATH_MAX], sentence[1200];

	ul_cleanup_close(&u->lock_fd);
	ul_cleanup_close(&u->fd);
	if (u->persistent && umount2(ul_boot_path(b, UL_PATH_UPPER, path), MNT_DETACH) < 0)
		return ul_error_errno(err, UL_E_UPPER, "unmounting the upper", path, NULL, errno);
	ul_names_free(&u->left_out);
	*u = none;
	u->fallback = true;
	u->why = *err;
	ul_log(UL_LOG_WARNING, "upper: %s", ul_error_sentence(err, sentence, sizeof(sentence)));
	ul_log(UL_LOG_WARNING, "upper: a tmpfs takes its place, as the policy says: what is written "
			       "is lost at the next boot");
	/* [upper] size was meant for the disk. */
	return ul_upper_open_tmpfs(b, 0, err);
}

int ul_upper_give_up(struct ul_boot *b, struct ul_error *err)
{
	int r;

	if (!b->upper.persistent || b->policy.upper_missing != UL_UPPER_MISSING_TMPFS)
		return -(int)err->code;
	if (ul_upper_unbind_state(b, err) < 0)
		return -UL_E_UPPER;
	r = ul_upper_fall_back(b, err);
	if (r == 0)
		r = ul_upper_bind_state(b, err);
	b->upper.mounted = r == 0;
	if (r == 0)
		r = ul_upper_new_session(b, err);
	/* What was found and written on the disk does not hold for it. */
	ul_boot_forget_reconcile(b);
	return r;
}
