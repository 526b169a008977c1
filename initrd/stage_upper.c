/*
 * Stage upper. Before: the new root has its directories. After: a writable filesystem lies at /nix/.rw with store/,
 * work/ and var/ in it, b->upper describes it, and var/ is bound to /nix/var. A tmpfs: what is written there is gone after the next boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/boot.h"

static const struct {
	const char *path, *why;
} dirs[] = {
	{UL_PATH_UPPER_STORE, "upperdir of the overlay: what Nix builds"},
	{UL_PATH_UPPER_WORK, "workdir of the overlay, on the same filesystem as it must be"},
	{UL_PATH_UPPER_VAR, "Nix's state: database, profiles, roots"},
};

int ul_stage_upper(struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX], target[PATH_MAX], options[64] = "mode=0755,size=50%";

	if (b->upper.mounted)
		return 0;
	if (b->policy.upper_size)
		snprintf(options, sizeof(options), "mode=0755,size=%llu",
			 (unsigned long long)b->policy.upper_size);
	ul_boot_path(b, UL_PATH_UPPER, path);
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return ul_error_errno(err, UL_E_UPPER, "mounting the upper's tmpfs", path, NULL,
				      errno);
	b->upper.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->upper.fd < 0)
		return ul_error_errno(err, UL_E_UPPER, "opening the upper", path, NULL, errno);
	b->upper.fresh = true;
	snprintf(b->upper.filesystem, sizeof(b->upper.filesystem), "tmpfs");
	for (size_t i = 0; i < UL_ARRAY_SIZE(dirs); i++)
		if (mkdir(ul_boot_path(b, dirs[i].path, path), 0755) < 0)
			return ul_error_errno(err, UL_E_UPPER, "preparing the upper", path, NULL,
					      errno);
	ul_boot_path(b, UL_PATH_UPPER_VAR, path);
	ul_boot_path(b, UL_PATH_VAR, target);
	if (mount(path, target, NULL, MS_BIND, NULL) < 0)
		return ul_error_errno(err, UL_E_UPPER, "binding Nix's state", target, NULL, errno);
	b->upper.mounted = true;
	return 0;
}
