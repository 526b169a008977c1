#include "initrd/stages/find_share.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/devices.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/policy/share.h"

static const char what[] = "mounting the shared directory";

/* 1: it is mounted; 0: the machine does not have it, yet. */
static int try_mount(struct ul_boot *b, const struct ul_share *share, struct ul_error *err)
{
	const struct ul_share_kind *kind = share->kind;
	char path[PATH_MAX];

	/*
	 * It is tried again and again: the device may come after the module, which an initramfs' udev may load as
	 * well.
	 */
	for (size_t i = 0; i < UL_ARRAY_SIZE(kind->modules) && kind->modules[i]; i++)
		(void)ul_modules_load(b, kind->modules[i]);
	if (mount(share->tag, ul_boot_path(b, UL_PATH_LOWER, path), kind->name, MS_RDONLY | MS_NODEV | MS_NOSUID,
		  kind->options) == 0)
		return 1;
	if (errno == kind->no_such_tag)
		return 0;
	if (errno == ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, kind->name, "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	return ul_error_errno(err, UL_E_FILESYSTEM, what, b->policy.lower_share, "Look into the host's log.", errno);
}

static int wait_and_mount(struct ul_boot *b, const struct ul_share *share, struct ul_error *err)
{
	uint64_t begin = ul_now_us();
	char wanted[100];
	struct ul_wait wait = {"find", wanted, begin, begin + b->policy.timeout_us, begin};

	snprintf(wanted, sizeof(wanted), "the shared directory %s", b->policy.lower_share);
	do {
		int r = try_mount(b, share, err);

		if (r != 0)
			return r < 0 ? r : 0;
	} while (ul_devices_wait(b, &wait));
	return ul_error_set(err, UL_E_DEVICE, what, b->policy.lower_share,
			    "Have the host share a directory with this tag.",
			    "no %s device with the tag %s appeared in %g s", share->kind->name, share->tag,
			    (double)b->policy.timeout_us / 1e6);
}

int ul_find_share(struct ul_boot *b, struct ul_error *err)
{
	const char *text = b->policy.lower_share ? b->policy.lower_share : "";
	struct ul_lower *lower;
	struct ul_share share;
	const char *wrong = ul_share_parse(text, &share);
	int r;

	if (wrong)
		return ul_error_set(err, UL_E_CONFIG, what, text, "Set [lower] share.", "%s", wrong);
	if (b->n_refusals > 0) {
		*err = b->refusals[0].err;
		b->failed_stage = b->refusals[0].stage;
		b->failure_logged = true;
		return -(int)err->code;
	}
	r = wait_and_mount(b, &share, err);
	if (r < 0)
		return r;
	lower = &b->lowers[b->n_lowers++];
	*lower = (struct ul_lower){
		.shared = true,
		.filesystem = share.kind->name,
		.mount = UL_PATH_LOWER,
		.store = UL_LOWER_STORE,
	};
	snprintf(lower->device, sizeof(lower->device), "%s", text);
	ul_log(UL_LOG_INFO, "find: the shared directory %s", text);
	return 0;
}
