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

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/kernel_log.h"
#include "initrd/base/modules.h"
#include "initrd/upper/upper.h"

static const char what[] = "mounting the upper";

/* What became of one. */
struct attempt {
	const char *device;
	int errnum;
	char words[256];     /* libmount's; may be empty */
	char complaint[200]; /* the kernel's; may be empty */
};

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
static int explain_words(const struct ul_upper_fs *fs, const char *device, int errnum, const char *words,
			 struct ul_error *err)
{
	if (errnum == ESRCH && fs->quota_module)
		return ul_error_set(err, UL_E_MODULE, what, device,
				    "Build the initramfs with the module quota_v2, or take the feature off (ext4: "
				    "tune2fs -O ^quota).",
				    "its %s counts quotas, and the kernel has no module for their format", fs->name);
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

/* These errnos stand for a feature that the kernel lacks as well as for damage. */
static bool is_feature(int errnum)
{
	return errnum == EINVAL || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == ENOENT || errnum == ENOPKG;
}

static int explain(const struct attempt *a, const struct ul_upper_fs *fs, struct ul_error *err)
{
	static const char todo[] = "Take a kernel that has what it asks for, make it without that, or repair it.";

	if (!is_feature(a->errnum))
		return explain_words(fs, a->device, a->errnum, a->words, err);
	if (a->complaint[0])
		return ul_error_set(err, UL_E_UPPER, what, a->device, todo, "the kernel refuses its %s: %s", fs->name,
				    a->complaint);
	return ul_error_set(err, UL_E_UPPER, what, a->device, todo,
			    "the kernel refuses its %s (%s): it lacks a feature of it, or it is damaged; the kernel's "
			    "log may say which",
			    fs->name, strerror(a->errnum));
}

/* One mount. true: it is there; else *a says why not. */
static bool try_mount(const struct ul_boot *b, const char *target, const struct ul_upper_fs *fs, struct attempt *a)
{
	struct libmnt_context *cxt = new_context(a->device, target, fs);
	ul_autoclose int log = ul_kernel_log_open(b);
	int status;
	bool done;

	a->errnum = ENOMEM;
	if (!cxt)
		return false;
	status = mnt_context_mount(cxt);
	done = status == 0 && mnt_context_get_status(cxt) == 1;
	if (!done) {
		a->errnum = mnt_context_get_syscall_errno(cxt);
		a->words[0] = '\0';
		(void)mnt_context_get_excode(cxt, status, a->words, sizeof(a->words));
		if (!ul_kernel_log_complaint(b, log, a->device, a->complaint, sizeof(a->complaint)))
			a->complaint[0] = '\0';
	}
	mnt_free_context(cxt);
	return done;
}

static bool counts_quotas(const char *device, const struct ul_upper_fs *fs)
{
	ul_autoclose int fd = fs->quota_module ? open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	uint8_t features[4];

	return fd >= 0 && ul_pread_full(fd, features, sizeof(features), fs->quota_at) == 0 &&
	       ul_get_le32(features) & fs->quota;
}

int ul_upper_mount(struct ul_boot *b, const char *device, const struct ul_upper_fs *fs, struct ul_error *err)
{
	struct attempt a = {.device = device};
	char target[PATH_MAX];
	struct statvfs st;

	ul_boot_path(b, UL_PATH_UPPER, target);
	/* Without /sbin/modprobe the kernel cannot ask for them. */
	(void)ul_modules_load(b, fs->name);
	if (counts_quotas(device, fs))
		(void)ul_modules_load(b, fs->quota_module);
	if (!try_mount(b, target, fs, &a))
		return explain(&a, fs, err);
	/* A filesystem that met its own damage may have made itself read-only. */
	if (statvfs(target, &st) == 0 && st.f_flag & ST_RDONLY) {
		(void)umount2(target, MNT_DETACH);
		return ul_error_set(err, UL_E_UPPER, what, device, "Repair it on another machine, or make it anew.",
				    "the kernel mounts it read-only");
	}
	return 0;
}
