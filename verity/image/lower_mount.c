/* A sealed image's filesystem, mounted out of everybody's sight. */
#include "verity/image/lower_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/leftover.h"
#include "verity/lower/judge.h"
#include "verity/open/loop_device.h"

static const char WHAT[] = "checking the content";

static int mount_error(const char *what, const char *object, int errnum, struct ul_error *err)
{
	static const char todo[] = "Run as root, or check the seal alone (--seal-only).";

	if (errnum == EPERM || errnum == EACCES)
		return ul_error_set(err, UL_E_SYSTEM, what, object, todo, "mounting the image read-only needs root");
	return ul_error_errno(err, UL_E_SYSTEM, what, object, todo, errnum);
}

static int open_loop(const struct ul_extent *data, int *ret_fd, char path[UL_LOOP_PATH], struct ul_error *err)
{
	ul_autoclose int image = open(data->device, O_RDONLY | O_CLOEXEC);
	int r;

	if (image < 0)
		return mount_error(WHAT, data->device, errno, err);
	r = ul_loop_attach("/dev", image, data->offset, data->size, path, ret_fd);
	return r < 0 ? mount_error(WHAT, path, -r, err) : 0;
}

static int mount_detached(const struct ul_judged_filesystem *type, const char *device, int *ret_fd)
{
	ul_autoclose int fs = fsopen(type->name, FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    (type->options && fsconfig(fs, FSCONFIG_SET_FLAG, type->options, NULL, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC,
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return -errno;
	*ret_fd = mnt;
	return 0;
}

static const char *tmp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && strlen(dir) < 32 ? dir : "/tmp";
}

/*
 * A directory of its own, to mount on. Its name is on the list of what must go before there is a directory of that
 * name: a signal may come between any two calls. 0 or -errno.
 */
static int make_mount_point(char path[64], struct ul_leftover **ret_leftover)
{
	uint64_t number;
	int errnum;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -errno;
	snprintf(path, 64, "%s/underlay-lower-%016" PRIx64, tmp_dir(), number);
	*ret_leftover = ul_leftover_add(AT_FDCWD, path);
	if (mkdir(path, 0700) == 0)
		return 0;
	errnum = errno;
	ul_leftover_drop(*ret_leftover);
	return -errnum;
}

/* Hang the mount into a namespace that is ours alone. 0 or -errno. */
static int attach(int mnt, char path[64], struct ul_leftover **ret_leftover)
{
	int r, errnum;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = make_mount_point(path, ret_leftover);
	if (r < 0)
		return r;
	if (move_mount(mnt, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0)
		return 0;
	errnum = errno;
	rmdir(path);
	ul_leftover_drop(*ret_leftover);
	return -errnum;
}

int ul_lower_mount(const struct ul_extent *data, struct ul_lower_view *ret, struct ul_error *err)
{
	/* Which are permitted is judged elsewhere. */
	static char *const any[] = {(char *)"erofs", (char *)"squashfs", (char *)"ext4", NULL};
	const struct ul_judged_filesystem *type = NULL;
	ul_autoclose int loop = -1, mnt = -1;
	struct ul_lower_view view = {.fd = -1};
	char path[UL_LOOP_PATH];
	int r = open_loop(data, &loop, path, err);

	if (r == 0)
		r = ul_judge_filesystem(loop, 0, data->device, any, &type, err);
	if (r < 0)
		return r;
	r = mount_detached(type, path, &mnt);
	if (r == -ENODEV)
		return ul_error_set(err, UL_E_SYSTEM, WHAT, data->device,
				    "Load its module, or check the seal alone (--seal-only).",
				    "this machine's kernel has no %s", type->name);
	if (r < 0 && r != -EPERM && r != -EACCES)
		return ul_judge_mount_failed(type->name, data->device, -r, err);
	if (r == 0)
		r = attach(mnt, view.path, &view.leftover);
	if (r < 0)
		return mount_error(WHAT, data->device, -r, err);
	view.fd = ul_steal_fd(&mnt);
	*ret = view;
	return 0;
}

void ul_lower_unmount(struct ul_lower_view *view)
{
	close(view->fd);
	umount2(view->path, MNT_DETACH);
	rmdir(view->path);
	ul_leftover_drop(view->leftover);
}
