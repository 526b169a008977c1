/*
 * The kernel drops the directory entries that it remembers of a filesystem when that is reconfigured
 * (reconfigure_super calls shrink_dcache_sb); entries that are in use stay. mount(2) with MS_REMOUNT does it
 * too, but sets the mount's flags anew: it would make a store writable that NixOS has bound read-only. fspick(2)
 * touches the filesystem alone. It hands no options over, so neither overlayfs before 6.5, which takes the
 * strings of mount(2), nor the one since then, which allows no change to options, finds anything to refuse.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "cli/remount.h"
#include "common/cleanup.h"

int cli_remount_overlay(const char *path, struct ul_error *err)
{
	static const char what[] = "remounting the overlay";
	struct statfs fs;
	ul_autoclose int fd = -1;

	if (statfs(path, &fs) < 0)
		return ul_error_errno(err, UL_E_OVERLAY, what, path, NULL, errno);
	if (fs.f_type != OVERLAYFS_SUPER_MAGIC)
		return ul_error_set(err, UL_E_OVERLAY, what, path, NULL, "it is not an overlay");
	fd = (int)syscall(SYS_fspick, AT_FDCWD, path, FSPICK_CLOEXEC);
	if (fd < 0 && errno == EINVAL)
		return ul_error_set(err, UL_E_OVERLAY, what, path, NULL, "it is not a mount point");
	if (fd < 0 || syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return ul_error_errno(err, UL_E_OVERLAY, what, path, errno == EPERM ? "Be root." : NULL, errno);
	return 0;
}
