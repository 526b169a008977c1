/*
 * Stage upper. Before: the new root has its directories; the lower is mounted. After: a writable filesystem lies at
 * /nix/.rw with the directories that initrd/upper/layout.c tells of, b->upper describes it, its lock is held, and var/
 * is bound to /nix/var. It is a tmpfs, gone at the next boot, or the filesystem on the device that the policy names:
 * found, made where the policy says so and nothing is there, checked (initrd/upper/guard.c), mounted nosuid,nodev.
 *
 * Where that fails the policy decides: the boot fails, or a tmpfs takes its place, and then the log, state.json and the
 * exit status of `underlay status` say so. Running again, for the next slot, it finds its work done.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"
#include "initrd/upper/members.h"
#include "initrd/upper/upper.h"

/* What was found decides: 0: there is a filesystem to mount. */
static int prepare(struct ul_boot *b, int fd, const char *device, struct ul_upper_probe *found, struct ul_error *err)
{
	static const char what[] = "preparing the upper";
	bool format = b->policy.upper_prepare == UL_UPPER_PREPARE_FORMAT;

	if (found->content == UL_UPPER_FILESYSTEM)
		return 0;
	if (found->content == UL_UPPER_MEMBER)
		return ul_error_set(
			err, UL_E_UPPER, what, device,
			"Name the device that is made of it, or another one. If nothing is: take the mark off "
			"(wipefs -t, on another machine).",
			"%s, and only the device that is made of it may be written", found->holds);
	if (found->content == UL_UPPER_FOREIGN)
		return ul_error_set(err, UL_E_UPPER, what, device,
				    format ? "Only an empty device is formatted: wipe it "
					     "(wipefs, blkdiscard), or name another."
					   : "Make the filesystem, or name another device.",
				    "%s", found->holds);
	if (found->content == UL_UPPER_HALF)
		ul_log(UL_LOG_WARNING, "upper: making the filesystem on %s was interrupted; it is made again", device);
	found->fs = ul_upper_fs_permitted(&b->policy, 0);
	b->upper.fresh = true;
	return ul_upper_format(fd, device, &b->policy, found, err);
}

/* The device, alone: nobody else may have it mounted or mapped. */
static int open_device(const char *device, int *ret_fd, struct ul_error *err)
{
	static const char what[] = "opening the upper's device";
	int alone = open(device, O_RDWR | O_EXCL | O_NONBLOCK | O_CLOEXEC), fd, error = errno;
	int read_only = 0;

	/* Kernels differ in whether they open such a device for writing. */
	if (alone >= 0 && ioctl(alone, BLKROGET, &read_only) == 0 && read_only) {
		close(alone);
		alone = -1;
		error = EROFS;
	}
	if (alone < 0 && error == EBUSY)
		return ul_error_set(err, UL_E_UPPER, what, device, "Name another device.", "it is in use");
	if (alone < 0 && (error == EACCES || error == EROFS || error == EPERM))
		return ul_error_set(err, UL_E_UPPER, what, device,
				    "Make the medium writable, or set [upper] type = tmpfs.", "it cannot be written");
	if (alone < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", error);
	/* mkfs and fsck want to be alone with it, too. */
	close(alone);
	fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", errno);
	*ret_fd = fd;
	return 0;
}

/* A partition of half an array shows a whole filesystem, too. */
static void look_at_disk(const struct ul_boot *b, int fd, struct ul_upper_probe *found)
{
	struct stat st;
	int r = fstat(fd, &st);

	if (r == 0)
		r = ul_upper_find_disk_member(b->sys_dir, b->dev_dir, st.st_rdev, found->holds, sizeof(found->holds));
	if (r == 1)
		found->content = UL_UPPER_MEMBER;
	else if (r < 0)
		ul_log(UL_LOG_WARNING,
		       "upper: whether the disk under %s is part of an array is not known: it cannot be read",
		       b->upper.device);
}

static int open_disk(struct ul_boot *b, struct ul_error *err)
{
	struct ul_upper *u = &b->upper;
	struct ul_upper_probe found;
	ul_autoclose int fd = -1;
	int r = ul_upper_find(b, u->device, err);

	if (r == 0)
		r = open_device(u->device, &fd, err);
	if (r == 0)
		r = ul_upper_probe(fd, u->device, &b->policy, &found, err);
	if (r == 0)
		look_at_disk(b, fd, &found);
	if (r == 0)
		r = prepare(b, fd, u->device, &found, err);
	if (r == 0)
		r = ul_upper_guard(b, fd, found.fs, err);
	if (r == 0)
		r = ul_upper_mount(b, u->device, found.fs, err);
	if (r != 0)
		return r;
	u->persistent = true;
	snprintf(u->filesystem, sizeof(u->filesystem), "%s", found.fs->name);
	return ul_upper_open_root(b, err);
}

int ul_stage_upper(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_policy *p = &b->policy;
	int r;

	if (b->upper.mounted)
		return 0;
	r = p->upper_type == UL_UPPER_DISK ? open_disk(b, err) : ul_upper_open_tmpfs(b, p->upper_size_bytes, err);
	if (r < 0 && p->upper_type == UL_UPPER_DISK && p->upper_missing == UL_UPPER_MISSING_TMPFS)
		r = ul_upper_fall_back(b, err);
	if (r == 0)
		r = ul_upper_bind_state(b, err);
	if (r < 0)
		return r;
	b->upper.mounted = true;
	if (b->upper.persistent)
		ul_log(UL_LOG_INFO, "upper: %s on %s%s", b->upper.filesystem, b->upper.device,
		       b->upper.fresh ? ", made just now" : "");
	return 0;
}
