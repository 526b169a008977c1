/*
 * Stage root. Before: the policy is known. After: at b->root lies the new root, with the directories that
 * any system expects and those of the store. It is a tmpfs of ours unless something is mounted there
 * already (as NixOS' own initrd does).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/stages/stages.h"

static const struct {
	const char *path;
	mode_t mode;
	const char *why;
} dirs[] = {
	{"/proc", 0555, "the API mounts move here"},
	{"/sys", 0555, "the API mounts move here"},
	{"/dev", 0755, "the API mounts move here"},
	{"/run", 0755, "the API mounts move here"},
	{"/tmp", 01777, "for everybody"},
	{"/etc", 0755, "the system's init fills it"},
	{"/var", 0755, "the system's init fills it"},
	{"/root", 0700, "root's home"},
	{"/nix", 0755, "the store's mounts"},
	{UL_PATH_LOWER, 0755, "mount point of the lower"},
	{UL_PATH_UPPER, 0755, "mount point of the upper"},
	{UL_PATH_STORE, 0755, "mount point of the overlay"},
	{UL_PATH_VAR, 0755, "mount point of Nix's state"},
};

static int is_mount_point(const char *path, bool *ret)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &st) < 0)
		return -errno;
	*ret = st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

int ul_stage_root(struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX], options[64] = "mode=0755,size=50%";
	bool mounted = false;
	struct stat st;
	int r = ul_mkdir_parents(AT_FDCWD, b->root, 0755);

	if (r == 0)
		r = is_mount_point(b->root, &mounted);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "making the new root", b->root, NULL, -r);
	if (b->policy.root_size_bytes)
		snprintf(options, sizeof(options), "mode=0755,size=%llu",
			 (unsigned long long)b->policy.root_size_bytes);
	if (!mounted && mount("tmpfs", b->root, "tmpfs", 0, options) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "mounting the new root's tmpfs", b->root, NULL, errno);
	b->root_is_ours = !mounted;
	for (size_t i = 0; i < UL_ARRAY_SIZE(dirs); i++) {
		ul_boot_path(b, dirs[i].path, path);
		if (mkdir(path, dirs[i].mode) == 0) {
			/* The umask takes away what /tmp wants: that everybody may write there. */
			if (chmod(path, dirs[i].mode) == 0)
				continue;
		} else if (errno == EEXIST && lstat(path, &st) == 0) {
			/* A symlink on a root that is not sealed could send the mounts elsewhere. */
			if (S_ISDIR(st.st_mode))
				continue;
			errno = ENOTDIR;
		}
		return ul_error_errno(err, UL_E_SYSTEM, "making a directory of the new root", path, NULL, errno);
	}
	return 0;
}
