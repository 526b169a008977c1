/*
 * Stage lower. Before: lower->device is a block device whose every byte is verified when it is read. After: its
 * filesystem is mounted read-only at /nix/.ro of the new root, image.json is read, the manifest's
 * header and index are checked, and the system that is to be started exists in it. For an image that is not
 * ours lower_foreign.c finds the store and makes the manifest. A shared directory is mounted already (find_share.h).
 *
 * The manifest's own hash is not computed: dm-verity vouches for its bytes already, and a hash over it would
 * cost what the lower is large.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/kernel_log.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/stages/lower_foreign.h"
#include "initrd/stages/stages.h"
#include "initrd/stages/system_path.h"

static const char looking_for_system[] = "looking for the system to start";

/* Filesystems a lower may have: where their magic number is, and what the mount needs to write nothing. */
static const struct filesystem {
	const char *name;
	uint64_t offset;
	const char magic[5]; /* with a NUL */
	size_t magic_len;
	const char *options;
} filesystems[] = {
	[UL_LOWER_EROFS] = {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4, NULL},
	[UL_LOWER_SQUASHFS] = {"squashfs", 0, "hsqs", 4, NULL},
	/* A read-only ext4 would still replay its journal, and fail on a device that takes no write. */
	[UL_LOWER_EXT4] = {"ext4", 1024 + 56, "\x53\xef", 2, "noload"},
};

static bool is_permitted(const struct ul_boot *b, const struct filesystem *fs)
{
	for (char **p = b->policy.filesystems; p && *p; p++)
		if (!strcmp(*p, fs->name))
			return true;
	return false;
}

static int detect(const struct ul_boot *b, const struct ul_lower *lower, const struct filesystem **ret,
		  struct ul_error *err)
{
	static const char what[] = "reading the lower's filesystem";
	ul_autoclose int fd = open(lower->device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ul_error_errno(err, UL_E_FILESYSTEM, what, lower->device, NULL, errno);
	for (size_t i = 0; i < UL_ARRAY_SIZE(filesystems); i++) {
		const struct filesystem *fs = &filesystems[i];
		char magic[4];
		int r = ul_pread_full(fd, magic, fs->magic_len, fs->offset);

		if (r < 0)
			return ul_error_errno_of_lower(err, UL_E_FILESYSTEM, what, lower->device, NULL, -r);
		if (memcmp(magic, fs->magic, fs->magic_len) != 0)
			continue;
		if (!is_permitted(b, fs))
			return ul_error_set(err, UL_E_FILESYSTEM, what, lower->device, NULL,
					    "it is %s, which [lower] filesystems does not permit", fs->name);
		*ret = fs;
		return 0;
	}
	return ul_error_set(err, UL_E_FILESYSTEM, what, lower->device, "Build the image with erofs or squashfs.",
			    "it does not hold a filesystem that is known here");
}

static int mount_lower(struct ul_boot *b, struct ul_lower *lower, struct ul_error *err)
{
	static const char what[] = "mounting the lower";
	const struct filesystem *fs = NULL;
	const char *type;
	char path[PATH_MAX], complaint[200];
	ul_autoclose int log = -1;
	int r = detect(b, lower, &fs, err), error;

	if (r < 0)
		return r;
	type = fs->name;
	/* Without /sbin/modprobe the kernel cannot ask for it; built in, it is found nowhere. */
	(void)ul_modules_load(b, type);
	ul_boot_path(b, UL_PATH_LOWER, path);
	log = ul_kernel_log_open(b);
	if (mount(lower->device, path, type, MS_RDONLY | MS_NODEV | MS_NOSUID, fs->options) == 0) {
		lower->filesystem = type;
		lower->mount = UL_PATH_LOWER;
		lower->store = UL_LOWER_STORE;
		return 0;
	}
	if (errno == ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, type, "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	/* dm-verity vouches for the bytes: so it is what they ask of the kernel. */
	error = errno;
	if (error != EINVAL && error != EOPNOTSUPP && error != ENOSYS)
		return ul_error_errno_of_lower(err, UL_E_FILESYSTEM, what, lower->device, "Write the image again.",
					       error);
	if (!ul_kernel_log_complaint(b, log, lower->device, complaint, sizeof(complaint)))
		snprintf(complaint, sizeof(complaint), "its log may say what it lacks");
	return ul_error_set(err, UL_E_FILESYSTEM, what, lower->device,
			    "Build the image with another --compression, or take a newer kernel.",
			    "this kernel cannot read this %s: %s", type, complaint);
}

static int read_info(const struct ul_boot *b, struct ul_lower *lower, int root_fd, struct ul_error *err)
{
	static const char what[] = "reading the image's description";
	const char *name = b->policy.name;
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(root_fd, UL_LOWER_INFO, UL_IMAGE_INFO_MAX, &text);

	if (r < 0)
		return ul_error_errno_of_lower(err, UL_E_IMAGE_INFO, what, UL_LOWER_INFO, "Build the image again.", -r);
	r = ul_image_info_parse((const char *)text.data, text.len, &lower->info, err);
	if (r < 0)
		return r;
	if (strcmp(lower->info.store_dir, UL_PATH_STORE) != 0)
		return ul_error_set(err, UL_E_IMAGE_INFO, what, UL_LOWER_INFO, NULL,
				    "it is for the store directory %s; only %s is started", lower->info.store_dir,
				    UL_PATH_STORE);
	/* The label that the slot was found by can be rewritten; this name is sealed. */
	if (name && strcmp(name, lower->info.name) != 0)
		return ul_error_set(err, UL_E_NO_IMAGE, "checking the image's name", UL_LOWER_INFO,
				    "Install the image that this machine is meant to start.",
				    "it is %s, the policy wants %s", lower->info.name, name);
	return 0;
}

static int open_manifest(struct ul_lower *lower, int root_fd, struct ul_error *err)
{
	int r;

	if (faccessat(root_fd, UL_LOWER_MANIFEST, R_OK, 0) < 0)
		return ul_error_errno_of_lower(err, UL_E_MANIFEST, "opening the manifest", UL_LOWER_MANIFEST,
					       "Build the image again.", errno);
	r = ul_manifest_open_file(root_fd, UL_LOWER_MANIFEST, &lower->manifest, err);
	if (r < 0)
		return r;
	if (strcmp(ul_manifest_store_dir(lower->manifest), lower->info.store_dir) != 0)
		return ul_error_set(err, UL_E_MANIFEST, "opening the manifest", UL_LOWER_MANIFEST,
				    "Build the image again.", "it is for the store directory %s, image.json for %s",
				    ul_manifest_store_dir(lower->manifest), lower->info.store_dir);
	return 0;
}

/* Nix's remount hook, where the system has it: sealed as all of it is. */
static int find_hook(struct ul_lower *lower, int root_fd)
{
	static const char *const places[] = {"sw/bin/underlay-remount", "bin/underlay-remount"};
	struct ul_error err;

	for (size_t i = 0; i < UL_ARRAY_SIZE(places); i++) {
		if (ul_system_check(root_fd, lower->system, places[i], &err) < 0)
			continue;
		return asprintf(&lower->remount_hook, "%s/%s", lower->system, places[i]) < 0 ? -ENOMEM : 0;
	}
	return 0;
}

static int check_system(struct ul_boot *b, struct ul_lower *lower, int root_fd, struct ul_error *err)
{
	const char *system = b->policy.system ? b->policy.system : lower->info.system;
	const char *init = b->policy.init;
	char path[PATH_MAX];
	int r;

	if (!system)
		return ul_error_set(err, UL_E_NO_SYSTEM, looking_for_system,
				    lower->foreign ? lower->device : UL_LOWER_INFO,
				    lower->foreign ? "Set [system] path: only our own images name one."
						   : "Build the image with --system, or set [system] path.",
				    "neither the image nor the policy names a system");
	r = ul_system_check(root_fd, system, init, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/%s", system, init);
	r = ul_demands_meets_init(b->policy.demands, path, err);
	if (r < 0)
		return r;
	lower->system = strdup(system);
	if (!lower->system || find_hook(lower, root_fd) < 0)
		return ul_error_nomem(err, looking_for_system);
	return 0;
}

/*
 * The system's links lead to /nix/store: where the lower has its store elsewhere, they are followed from the new root,
 * in which it is bound to that place for as long.
 */
static int check_system_in_place(struct ul_boot *b, struct ul_lower *lower, int root_fd, struct ul_error *err)
{
	ul_autoclose int new_root = -1;
	char store[PATH_MAX], target[PATH_MAX];
	int r;

	if (strcmp(lower->store, UL_LOWER_STORE) == 0)
		return check_system(b, lower, root_fd, err);
	ul_lower_path(b, lower, lower->store, store);
	ul_boot_path(b, UL_PATH_STORE, target);
	new_root = open(b->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (new_root < 0 || mount(store, target, NULL, MS_BIND, NULL) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, looking_for_system, target, NULL, errno);
	r = check_system(b, lower, new_root, err);
	if (umount2(target, MNT_DETACH) < 0 && r == 0)
		r = ul_error_errno(err, UL_E_SYSTEM, looking_for_system, target, NULL, errno);
	return r;
}

int ul_stage_lower(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	ul_autoclose int root_fd = -1;
	char path[PATH_MAX];
	int r = lower->shared ? 0 : mount_lower(b, lower, err);

	if (r < 0)
		return r;
	ul_boot_path(b, lower->mount, path);
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return ul_error_errno(err, UL_E_FILESYSTEM, "opening the lower", path, NULL, errno);
	lower->foreign = ul_lower_is_foreign(lower, root_fd);
	if (lower->foreign) {
		r = ul_lower_read_foreign(b, lower, root_fd, err);
	} else {
		r = read_info(b, lower, root_fd, err);
		if (r == 0)
			r = open_manifest(lower, root_fd, err);
	}
	if (r == 0)
		r = check_system_in_place(b, lower, root_fd, err);
	if (r == 0 && lower->foreign)
		ul_log(UL_LOG_INFO, "lower: %s with the store at /%s, %s", lower->filesystem,
		       strcmp(lower->store, ".") ? lower->store : "",
		       lower->manifest ? lower->registration : "no registration");
	else if (r == 0)
		ul_log(UL_LOG_INFO, "lower: %s with %u store paths, %.1f MB unpacked", lower->filesystem,
		       ul_manifest_n_paths(lower->manifest), (double)lower->info.nar_size / 1e6);
	return r;
}
