#include "initrd/stages/find_file.h"

#include <blkid/blkid.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/upper/devices_named.h"
#include "verity/format/version.h"
#include "verity/open/loop_device.h"

static const char opening[] = "opening the image's file";

#define NAMES_MAX 4096 /* of the directory that are looked at */

static const char what[] = "looking for the image's file";

/* Filesystems that may hold an image, and the modules that they want; nls: FAT's two tables of characters. */
static const struct host_fs {
	const char *name; /* libblkid's and the kernel's */
	const char *modules[4];
} host_filesystems[] = {
	{"vfat", {"nls_cp437", "nls_ascii", "nls_utf8", "vfat"}},
	{"ext4", {"ext4"}},
	{"iso9660", {"isofs"}},
};

/* ---- the filesystem ---- */

/* Which of them it is; NULL: none. names: its label and UUID; may be NULL. */
static const struct host_fs *probe(int fd, struct ul_device_names *names)
{
	char *only[UL_ARRAY_SIZE(host_filesystems) + 1] = {NULL};
	blkid_probe p = blkid_new_probe();
	const struct host_fs *found = NULL;
	const char *text;

	for (size_t i = 0; i < UL_ARRAY_SIZE(host_filesystems); i++)
		only[i] = (char *)host_filesystems[i].name;
	if (!p)
		return NULL;
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID);
	if (blkid_probe_set_device(p, fd, 0, 0) == 0 &&
	    blkid_probe_filter_superblocks_type(p, BLKID_FLTR_ONLYIN, only) == 0 && blkid_do_safeprobe(p) == 0 &&
	    blkid_probe_lookup_value(p, "TYPE", &text, NULL) == 0)
		for (size_t i = 0; i < UL_ARRAY_SIZE(host_filesystems); i++)
			if (!strcmp(text, host_filesystems[i].name))
				found = &host_filesystems[i];
	if (found && names && blkid_probe_lookup_value(p, "UUID", &text, NULL) == 0)
		for (size_t i = 0; i + 1 < sizeof(names->uuid) && text[i]; i++)
			names->uuid[i] = (char)tolower((unsigned char)text[i]);
	if (found && names && blkid_probe_lookup_value(p, "LABEL", &text, NULL) == 0)
		snprintf(names->label, sizeof(names->label), "%s", text);
	blkid_free_probe(p);
	return found;
}

static bool identify(const struct ul_boot *b, int fd, const char *device, struct ul_device_names *ret)
{
	(void)b;
	(void)device;
	return probe(fd, ret) != NULL;
}

/* 1: the one device; 0: it is not there (yet). */
static int find_device(const struct ul_boot *b, char ret[128], struct ul_error *err)
{
	const char *wanted = b->policy.file_device;
	struct ul_devices_found found;
	struct ul_upper_name name;
	const char *wrong = ul_upper_parse_name(wanted, &name);

	if (wrong)
		return ul_error_set(err, UL_E_CONFIG, what, wanted, NULL, "%s", wrong);
	ul_devices_named(b, &name, identify, &found);
	if (found.n > 1)
		return ul_error_set(err, UL_E_DEVICE, what, wanted, "Name one of them by its PARTUUID.",
				    "%zu devices have this name, %s and %s among them", found.n, found.found[0],
				    found.found[1]);
	if (found.n == 1)
		snprintf(ret, 128, "%s", found.found[0]);
	return found.n == 1;
}

static int mount_host(struct ul_boot *b, const char *device, const char *target, struct ul_error *err)
{
	ul_autoclose int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const struct host_fs *fs = fd < 0 ? NULL : probe(fd, NULL);
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, what, device, NULL, errno);
	if (!fs)
		return ul_error_set(err, UL_E_FILESYSTEM, what, device, "Put the image on one of these.",
				    "it holds neither vfat, ext4 nor ISO 9660");
	for (size_t i = 0; i < UL_ARRAY_SIZE(fs->modules) && fs->modules[i]; i++)
		(void)ul_modules_load(b, fs->modules[i]);
	r = ul_mkdir_parents(AT_FDCWD, target, 0755);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, target, NULL, -r);
	if (mount(device, target, fs->name, MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) == 0)
		return 0;
	if (errno == ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, fs->name, "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	return ul_error_errno(err, UL_E_FILESYSTEM, what, device, NULL, errno);
}

/* ---- the files ---- */

static int newest_first(const void *a, const void *b)
{
	return ul_version_compare(*(const char *const *)b, *(const char *const *)a);
}

/* Append the directory's names that match, newest first. */
static int list_names(int dir_fd, const char *pattern, struct ul_names *names)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(dir_fd, ".", &dir);

	for (size_t n = 0; r >= 0 && n < NAMES_MAX && (r = ul_dir_next(dir, &entry)) > 0; n++)
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) == 0)
			r = ul_names_add(names, entry->d_name);
	if (r < 0)
		return r;
	ul_vector_sort(names, newest_first);
	return 0;
}

/* A file that cannot be used is told of and passed over: there may be others. */
static int take(struct ul_boot *b, int dir_fd, const char *folder, const char *name)
{
	struct stat st;
	char shown[256];
	int r = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;

	if (r == 0 && S_ISREG(st.st_mode)) {
		return ul_names_take(&b->files, ul_path_join(folder, name));
	}
	ul_escape_text(shown, sizeof(shown), name);
	ul_log(UL_LOG_WARNING, "find: %s: %s", shown, r ? strerror(r) : "it is not a regular file");
	return 0;
}

/* target: where the filesystem is mounted. */
static int take_files(struct ul_boot *b, const char *target, struct ul_error *err)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve =
				       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	ul_autoclose int root = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC), dir = -1;
	ul_autonames struct ul_names names = {0};
	const char *file = b->policy.file;
	const char *slash = strrchr(file, '/'), *pattern = slash ? slash + 1 : file;
	char folder[PATH_MAX] = ".", absolute[PATH_MAX];
	int r;

	while (*file == '/')
		file++;
	if (slash && slash > file)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file), file);
	if (root >= 0)
		dir = (int)syscall(SYS_openat2, root, folder, &how, sizeof(how));
	r = dir < 0 ? -errno : list_names(dir, pattern, &names);
	if (r < 0)
		return ul_error_errno(err, UL_E_NO_IMAGE, what, b->policy.file,
				      "Correct [image] file; symlinks are not followed.", -r);
	if (snprintf(absolute, sizeof(absolute), "%s/%s", target, folder) >= (int)sizeof(absolute))
		return ul_error_errno(err, UL_E_CONFIG, what, b->policy.file, NULL, ENAMETOOLONG);
	for (size_t i = 0; i < names.n && b->files.n < UL_BOOT_FILES; i++)
		if (take(b, dir, absolute, names.at[i]) < 0)
			return ul_error_nomem(err, what);
	if (b->files.n == 0)
		return ul_error_set(
			err, UL_E_NO_IMAGE, what, b->policy.file, "Put the image there, or correct [image] file.",
			names.n ? "no file of this name can be used" : "there is no file of this name on %s",
			b->policy.file_device);
	return 0;
}

int ul_find_files(struct ul_boot *b, struct ul_error *err)
{
	ul_autofree char *target = ul_path_join(b->run_dir, "host");
	char device[128];
	int r;

	if (b->files_found)
		return 1;
	if (!target)
		return ul_error_nomem(err, what);
	r = find_device(b, device, err);
	if (r <= 0)
		return r;
	r = mount_host(b, device, target, err);
	if (r < 0)
		return r;
	r = take_files(b, target, err);
	if (r < 0) {
		/* Perhaps it is another device of that name that comes later. */
		(void)umount2(target, MNT_DETACH);
		return r;
	}
	b->files_found = true;
	return 1;
}

/* One partition of the file, as a device. */
static int attach(struct ul_boot *b, struct ul_extent *extent, struct ul_error *err)
{
	/* The path has been walked without symlinks; the mount is read-only, so it still is as it was. */
	ul_autoclose int fd = open(extent->device, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char path[UL_LOOP_PATH], *device;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ul_error_errno(err, UL_E_DEVICE, opening, extent->device, NULL, errno);
	if (!S_ISREG(st.st_mode))
		return ul_error_set(err, UL_E_DEVICE, opening, extent->device, NULL, "it is not a regular file");
	if (b->n_loops == UL_ARRAY_SIZE(b->loops))
		return ul_error_set(err, UL_E_DEVICE, opening, extent->device, NULL,
				    "%zu partitions of files are loop devices already", b->n_loops);
	(void)ul_modules_load(b, "loop");
	r = ul_loop_attach(b->dev_dir, fd, extent->offset, extent->size, path, &b->loops[b->n_loops]);
	if (r < 0)
		return ul_error_errno(err, UL_E_DEVICE, "attaching the image's file", path, NULL, -r);
	b->n_loops++;
	device = strdup(path);
	if (!device)
		return ul_error_nomem(err, what);
	free(extent->device);
	*extent = (struct ul_extent){.device = device, .size = extent->size};
	return 0;
}

int ul_find_attach(struct ul_boot *b, struct ul_slot *slot, struct ul_error *err)
{
	int r = attach(b, &slot->data, err);

	return r < 0 ? r : attach(b, &slot->hash, err);
}
