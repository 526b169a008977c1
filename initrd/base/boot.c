#include "initrd/base/boot.h"

#include <errno.h>
#include <libkmod.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"

void ul_boot_init(struct ul_boot *b)
{
	*b = (struct ul_boot){
		.conf_dir = "",
		.root = "/sysroot",
		.dev_dir = "/dev",
		.sys_dir = "/sys",
		.proc_dir = "/proc",
		.run_dir = UL_PATH_RUN,
		.handover_dir = "/run",
		.uevent_fd = -1,
		.upper = {.fd = -1, .lock_fd = -1},
		.start_us = ul_now_us(),
	};
	ul_policy_init(&b->policy);
}

void ul_lower_release(struct ul_boot *b, struct ul_lower *lower)
{
	char path[PATH_MAX];
	struct ul_error err;

	ul_manifest_close(lower->manifest);
	ul_buffer_free(&lower->made);
	ul_image_info_free(&lower->info);
	free(lower->system);
	free(lower->remount_hook);
	if (lower->filesystem && umount2(ul_boot_path(b, lower->mount, path), MNT_DETACH) < 0)
		ul_log(UL_LOG_WARNING, "lower: unmounting the refused image: %s: %s.", path, strerror(errno));
	if (lower->mapping[0] && ul_verity_deactivate(lower->mapping, &err) < 0)
		ul_log(UL_LOG_WARNING, "verify: %s: %s: %s.", err.what, err.object, err.why);
	if (lower->sealed)
		ul_seal_free(&lower->seal);
	if (lower->has_slot)
		ul_slot_free(&lower->slot);
	*lower = (struct ul_lower){0};
}

void ul_boot_free(struct ul_boot *b)
{
	for (size_t i = 0; i < b->n_lowers; i++) {
		struct ul_lower *lower = &b->lowers[i];

		/* What is mounted stays: the running system uses it. */
		lower->filesystem = NULL;
		lower->mapping[0] = '\0';
		ul_lower_release(b, lower);
	}
	for (size_t i = 0; i < b->n_records; i++) {
		free(b->records[i].disk);
		ul_trial_store_close(&b->records[i].store);
	}
	ul_slots_free(&b->slots);
	ul_names_free(&b->root_unsealed);
	ul_names_free(&b->files);
	for (size_t i = 0; i < b->n_loops; i++)
		close(b->loops[i]);
	ul_names_free(&b->disks_done);
	ul_reconcile_report_free(&b->reconcile);
	free(b->profile);
	ul_names_free(&b->upper.left_out);
	ul_cleanup_close(&b->upper.lock_fd);
	ul_cleanup_close(&b->upper.fd);
	ul_trust_free(b->trust);
	if (b->kmod)
		kmod_unref(b->kmod);
	ul_cleanup_close(&b->uevent_fd);
	ul_policy_free(&b->policy);
}

void ul_boot_forget_reconcile(struct ul_boot *b)
{
	ul_reconcile_report_free(&b->reconcile);
	b->reconciled = false;
	b->n_gcroots = 0;
}
