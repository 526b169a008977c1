/* Nix's state: the upper's var/, bound to /nix/var of the new root. */
#include <errno.h>
#include <limits.h>
#include <sys/mount.h>

#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/upper/upper.h"

int ul_upper_bind_state(struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX], target[PATH_MAX];

	ul_boot_path(b, UL_PATH_UPPER_VAR, path);
	ul_boot_path(b, UL_PATH_VAR, target);
	if (mount(path, target, NULL, MS_BIND, NULL) < 0)
		return ul_error_errno(err, UL_E_UPPER, "binding Nix's state", target, NULL, errno);
	return 0;
}

int ul_upper_unbind_state(struct ul_boot *b, struct ul_error *err)
{
	char target[PATH_MAX];

	if (umount2(ul_boot_path(b, UL_PATH_VAR, target), MNT_DETACH) < 0)
		return ul_error_errno(err, UL_E_UPPER, "unmounting Nix's state", target, NULL, errno);
	return 0;
}
