/*
 * Mounting the upper's filesystem. Before: its device holds one that the policy permits. After: it is mounted at
 * /nix/.rw of the new root, nosuid, nodev and writable; or nothing is.
 *
 * libmount does it, which tells each failure of mount(2) in words that are worth reading. Its helpers, /etc/fstab, mtab
 * and the retry read-only are switched off: this initramfs does not have them, and those of another initramfs must not
 * matter. It does not need udev.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/upper/upper.h"

static const char what[] = "mounting the upper";

static struct libmnt_context *new_context(const char *device, const char *target, const struct ul_upper_fs *fs)
{
	struct libmnt_context *cxt = mnt_new_context();

	if (cxt && mnt_context_disable_mtab(cxt, 1) == 0 && mnt_context_disable_helpers(cxt, 1) == 0 &&
	    mnt_context_disable_canonicalize(cxt, 1) == 0 && mnt_context_enable_rwonly_mount(cxt, 1) == 0 &&
	    mnt_context_set_optsmode(cxt, MNT_OMODE_NOTAB) == 0 && mnt_context_set_source(cxt, device) == 0 &&
	    mnt_context_set_target(cxt, target) == 0 && mnt_context_set_fstype(cxt, fs->name) == 0 &&
	    mnt_context_set_options(cxt, fs->options) == 0 && mnt_context_set_mflags(cxt, MS_NOSUID | MS_NODEV) == 0)
		return cxt;
	mnt_free_context(cxt);
	return NULL;
}

/* The reasons that a reader can do something about come before libmount's words, which list several. */
static int explain(struct libmnt_context *cxt, int status, const char *device, const struct ul_upper_fs *fs,
		   struct ul_error *err)
{
	int errnum = mnt_context_get_syscall_errno(cxt);
	char words[256] = "";

	(void)mnt_context_get_excode(cxt, status, words, sizeof(words));
	switch (errnum) {
	case ENODEV:
		return ul_error_set(err, UL_E_MODULE, what, fs->name, "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	case EROFS:
	case EACCES:
		return ul_error_set(err, UL_E_UPPER, what, device,
				    "Make the medium writable, or set [upper] type = tmpfs.", "it cannot be written");
	case EIO:
		return ul_error_set(err, UL_E_UPPER, what, device, "Check the disk.", "it cannot be read (I/O error)");
	case EUCLEAN:
		return ul_error_set(err, UL_E_UPPER, what, device, "Repair it on another machine, or make it anew.",
				    "the %s on it is damaged", fs->name);
	default:
		return ul_error_set(err, UL_E_UPPER, what, device, "Repair it on another machine, or make it anew.",
				    "%s", words[0] ? words : strerror(errnum));
	}
}

int ul_upper_mount(struct ul_boot *b, const char *device, const struct ul_upper_fs *fs, struct ul_error *err)
{
	char target[PATH_MAX];
	struct libmnt_context *cxt;
	struct statvfs st;
	int r = 0, status;

	ul_boot_path(b, UL_PATH_UPPER, target);
	(void)ul_modules_load(b, fs->name);
	cxt = new_context(device, target, fs);
	if (!cxt)
		return ul_error_nomem(err, what);
	status = mnt_context_mount(cxt);
	if (status != 0 || mnt_context_get_status(cxt) != 1)
		r = explain(cxt, status, device, fs, err);
	mnt_free_context(cxt);
	if (r < 0)
		return r;
	/* A filesystem that met its own damage may have made itself read-only. */
	if (statvfs(target, &st) == 0 && st.f_flag & ST_RDONLY) {
		(void)umount2(target, MNT_DETACH);
		return ul_error_set(err, UL_E_UPPER, what, device, "Repair it on another machine, or make it anew.",
				    "the kernel mounts it read-only");
	}
	return 0;
}
