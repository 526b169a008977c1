/*
 * Stage root. Before: the policy is known. After: at b->root lies the new root, with the directories that
 * any system expects and those of the store.
 *
 * What it is, the policy says, never what happens to be there: in another initramfs somebody else's disk may have been
 * mounted at b->root, or below it, before anything was verified, and its /etc decides what a verified system does. So
 * a new tmpfs covers it all; only [root] from = mounted takes what lies there, and then what of it is on a disk is said
 * in the log and in b->root_unsealed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
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
	{UL_PATH_UPPER, 0700, "mount point of the upper"},
	{UL_PATH_NAMES, 0700, "mount point of names layers"},
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

/* Filesystems that keep nothing which somebody wrote before this boot. */
static bool is_volatile(const char *type)
{
	static const char *const types[] = {"tmpfs", "ramfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup2"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(types); i++)
		if (!strcmp(type, types[i]))
			return true;
	return false;
}

/* A mount at the new root or below it; path: its own in the new root. */
static int judge_mount(struct ul_boot *b, const char *path, const struct mntent *m)
{
	bool mounted = b->policy.root_from == UL_ROOT_MOUNTED, forgets = is_volatile(m->mnt_type);
	char raw[PATH_MAX], name[PATH_MAX];

	snprintf(raw, sizeof(raw), "%s (%s, %s)", path, m->mnt_type, m->mnt_fsname);
	ul_escape_text(name, sizeof(name), raw);
	if (!mounted) {
		/* An empty tmpfs in our place is what NixOS' initramfs leaves there. */
		ul_log(forgets && !strcmp(path, "/") ? UL_LOG_DEBUG : UL_LOG_WARNING,
		       "root: %s was mounted at %s already: it is hidden, the new root is a tmpfs", name, b->root);
		return 0;
	}
	if (forgets)
		return 0;
	ul_log(UL_LOG_WARNING, "root: unsealed: %s: whoever can write it decides what this system does", name);
	return ul_names_add(&b->root_unsealed, name);
}

/* Every mount at the new root or below it. */
static int look_at_mounts(struct ul_boot *b, struct ul_error *err)
{
	static const char what[] = "looking at what is mounted";
	ul_autofree char *table = ul_path_join(b->proc_dir, "self/mounts");
	/* As the kernel's table has it. */
	ul_autofree char *root = realpath(b->root, NULL);
	size_t len = root ? strlen(root) : 0;
	struct mntent m;
	struct statfs top;
	char text[2 * PATH_MAX];
	bool in_memory;
	FILE *f;
	int r = 0;

	if (!table)
		return ul_error_nomem(err, what);
	if (!root || statfs(root, &top) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, b->root, NULL, errno);
	in_memory = top.f_type == TMPFS_MAGIC || top.f_type == RAMFS_MAGIC;
	f = setmntent(table, "re");
	if (!f)
		return ul_error_errno(err, UL_E_SYSTEM, what, table, NULL, errno);
	while (r == 0 && getmntent_r(f, &m, text, sizeof(text))) {
		const char *below = m.mnt_dir + len;

		if (strncmp(m.mnt_dir, root, len) != 0 || (*below && *below != '/'))
			continue;
		/* What lies on top of the others counts. */
		if (!*below && in_memory && b->policy.root_from == UL_ROOT_MOUNTED)
			continue;
		r = judge_mount(b, *below ? below : "/", &m);
	}
	endmntent(f);
	b->root_known = r == 0;
	return r < 0 ? ul_error_nomem(err, what) : 0;
}

static int mount_tmpfs(const struct ul_boot *b, struct ul_error *err)
{
	char options[64] = "mode=0755,size=50%";

	if (b->policy.root_size_bytes)
		snprintf(options, sizeof(options), "mode=0755,size=%llu",
			 (unsigned long long)b->policy.root_size_bytes);
	if (mount("tmpfs", b->root, "tmpfs", 0, options) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "mounting the new root's tmpfs", b->root, NULL, errno);
	return 0;
}

static int make_dirs(const struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX];
	struct stat st;

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

int ul_stage_root(struct ul_boot *b, struct ul_error *err)
{
	bool mounted = false;
	int r = ul_mkdir_parents(AT_FDCWD, b->root, 0755);

	if (r == 0)
		r = is_mount_point(b->root, &mounted);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "making the new root", b->root, NULL, -r);
	b->root_is_ours = b->policy.root_from == UL_ROOT_TMPFS;
	if (!b->root_is_ours && !mounted)
		return ul_error_set(err, UL_E_SYSTEM, "using what is mounted as the new root", b->root,
				    "Let what mounts it run before underlay-init, or remove [root] from = mounted.",
				    "nothing is mounted there");
	r = look_at_mounts(b, err);
	if (r == 0 && b->root_is_ours)
		r = mount_tmpfs(b, err);
	return r < 0 ? r : make_dirs(b, err);
}
