/*
 * Stage lower. Before: lower->device is a block device whose every byte is verified when it is read. After: its
 * filesystem is mounted read-only at /nix/.ro of the new root, image.json is read, the manifest's
 * header and index are checked, the system that is to be started exists in it, and how Nix will come to know its paths
 * is decided. All of that is judged by verity/lower, as `underlay image verify` does it. A shared directory is mounted
 * already (find_share.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/kernel_log.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/policy/requirements.h"
#include "initrd/stages/database_mode.h"
#include "initrd/stages/stages.h"

static int detect(const struct ul_lower *lower, const struct ul_requirements *demands,
		  const struct ul_judged_filesystem **ret, struct ul_error *err)
{
	ul_autoclose int fd = open(lower->device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ul_error_errno(err, UL_E_FILESYSTEM, "reading the lower's filesystem", lower->device, NULL,
				      errno);
	return ul_judge_filesystem(fd, 0, lower->device, demands->filesystems, ret, err);
}

/* dm-verity vouches for the bytes: so it is what they ask of the kernel, whose own words are the best there are. */
static int explain(const struct ul_boot *b, const struct ul_lower *lower, const char *type, int log, int error,
		   struct ul_error *err)
{
	int r = ul_judge_mount_failed(type, lower->device, error, err);
	char complaint[200];

	if ((error == EINVAL || error == EOPNOTSUPP || error == ENOSYS) &&
	    ul_kernel_log_complaint(b, log, lower->device, complaint, sizeof(complaint)))
		snprintf(err->why, sizeof(err->why), "this kernel cannot read this %s: %s", type, complaint);
	return r;
}

static int mount_lower(struct ul_boot *b, struct ul_lower *lower, const struct ul_requirements *demands,
		       struct ul_error *err)
{
	const struct ul_judged_filesystem *fs = NULL;
	ul_autoclose int log = -1;
	char path[PATH_MAX];
	int r = detect(lower, demands, &fs, err);

	if (r < 0)
		return r;
	/* Without /sbin/modprobe the kernel cannot ask for it; built in, it is found nowhere. */
	(void)ul_modules_load(b, fs->name);
	ul_boot_path(b, UL_PATH_LOWER, path);
	log = ul_kernel_log_open(b);
	if (mount(lower->device, path, fs->name, MS_RDONLY | MS_NODEV | MS_NOSUID, fs->options) < 0)
		return explain(b, lower, fs->name, log, errno, err);
	lower->filesystem = fs->name;
	lower->mount = UL_PATH_LOWER;
	lower->store = UL_LOWER_STORE;
	return 0;
}

/* The lower owns it from now on. */
static void take(struct ul_lower *lower, struct ul_judged *judged)
{
	lower->store = judged->store;
	lower->foreign = judged->foreign;
	lower->info = judged->info;
	lower->manifest = judged->manifest;
	lower->made = judged->made;
	memcpy(lower->registration, judged->registration, sizeof(lower->registration));
	lower->system = judged->system;
	lower->remount_hook = judged->remount_hook;
}

static void tell(const struct ul_lower *lower)
{
	if (!lower->foreign) {
		ul_log(UL_LOG_INFO, "lower: %s with %u store paths, %.1f MB unpacked", lower->filesystem,
		       ul_manifest_n_paths(lower->manifest), (double)lower->info.nar_size / 1e6);
		return;
	}
	if (!lower->manifest)
		ul_log(UL_LOG_WARNING, "lower: the image does not register its paths: Nix will not know them, and "
				       "must not collect garbage");
	ul_log(UL_LOG_INFO, "lower: %s with the store at /%s, %s", lower->filesystem,
	       strcmp(lower->store, ".") ? lower->store : "",
	       lower->manifest ? lower->registration : "no registration");
}

int ul_stage_lower(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	struct ul_requirements demands = ul_policy_requirements(&b->policy, b->trust);
	struct ul_lower_root root = {
		.device = lower->device,
		.slot = &lower->slot,
		.seal = lower->sealed ? &lower->seal : NULL,
		.shared = lower->shared,
	};
	struct ul_judged judged = {0};
	ul_autoclose int root_fd = -1;
	char path[PATH_MAX], init[PATH_MAX];
	int r = lower->shared ? 0 : mount_lower(b, lower, &demands, err);

	if (r < 0)
		return r;
	root.path = ul_boot_path(b, lower->mount, path);
	root.fd = root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return ul_error_errno(err, UL_E_FILESYSTEM, "opening the lower", path, NULL, errno);
	r = ul_judge_content(&root, &demands, &judged, err);
	if (r == 0)
		r = ul_judge_system(&root, &demands, b->root, &judged, err);
	if (r == 0) {
		snprintf(init, sizeof(init), "%s/%s", judged.system, b->policy.init);
		r = ul_demands_meets_init(b->policy.demands, init, err);
	}
	if (r < 0) {
		ul_judged_free(&judged);
		return r;
	}
	take(lower, &judged);
	tell(lower);
	return ul_database_decide(b, err);
}
