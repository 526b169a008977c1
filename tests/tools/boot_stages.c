/*
 * The boot's own stages without device-mapper and without PID 1: what stages find and verify would leave is put in
 * their place (the lower is a block device that the test gives, or what stage find finds where it is "find", and what
 * is trusted of it where it is "seal"; a directory stands for one that a host shares), everything else is the code that
 * boots.
 *
 *     boot_stages DEVICE ROOT RUN_DIR CONF_DIR CMDLINE
 *
 * Ends with the code of the failure, 0 where there is none; the sentence goes to standard error, and what
 * `underlay status` reads to RUN_DIR.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/boot/failure.h"
#include "initrd/boot/run.h"
#include "initrd/report/state.h"
#include "initrd/stages/stages.h"
#include "initrd/stages/verify.h"

static const char *device;

/* What initrd/stages/find_share.c leaves; stage verify is the one that boots. */
static int open_share(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers++];
	char path[PATH_MAX];

	if (mount(device, ul_boot_path(b, UL_PATH_LOWER, path), NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "sharing", device, NULL, errno);
	*lower = (struct ul_lower){.shared = true,
				   .filesystem = "bind",
				   .mount = UL_PATH_LOWER,
				   .store = UL_LOWER_STORE,
				   .device = "9p:store"};
	return ul_stage_verify(b, err);
}

static int open_device(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower;
	struct stat st;

	if (stat(device, &st) == 0 && S_ISDIR(st.st_mode))
		return open_share(b, err);

	if (strcmp(device, "find") == 0 || strcmp(device, "seal") == 0) {
		int r = ul_stage_find(b, err);

		if (r < 0)
			return r;
		lower = &b->lowers[b->n_lowers - 1];
		if (strcmp(device, "seal") == 0)
			r = ul_verify_decide(b, lower, err);
		if (r < 0)
			return r;
		snprintf(lower->device, sizeof(lower->device), "%s", lower->slot.data.device);
		return 0;
	}
	lower = &b->lowers[b->n_lowers++];
	*lower = (struct ul_lower){0};
	snprintf(lower->device, sizeof(lower->device), "%s", device);
	return 0;
}

static const struct ul_stage stages[] = {
	{"policy", ul_stage_policy, 0, NULL},
	{"root", ul_stage_root, 0, NULL},
	{"device", open_device, 0, NULL},
	{"lower", ul_stage_lower, 0, NULL},
	{"upper", ul_stage_upper, 0, NULL},
	{"reconcile", ul_stage_reconcile, 0, NULL},
	{"database", ul_stage_database, 0, NULL},
	{"overlay", ul_stage_overlay, 0, "database"},
	{"system", ul_stage_system, 0, NULL},
	{"handover", ul_stage_handover, 0, NULL},
	{NULL, NULL, 0, NULL},
};

int main(int argc, char **argv)
{
	struct ul_error err;
	struct ul_boot b;
	int r;

	if (argc != 6) {
		fputs("usage: boot_stages DEVICE ROOT RUN_DIR CONF_DIR CMDLINE\n", stderr);
		return 99;
	}
	ul_boot_init(&b);
	device = argv[1];
	b.root = argv[2];
	b.run_dir = argv[3];
	b.handover_dir = argv[3];
	b.conf_dir = argv[4];
	b.cmdline = argv[5];
	r = ul_boot_run(&b, stages, &err);
	if (r < 0) {
		b.policy.remember = false; /* EFI variables are those of the machine that tests */
		ul_failure_report(&b);
	}
	r = r < 0 ? (int)b.failure.code : 0;
	if (ul_state_write(&b, r ? "failed" : "prepared", &err) < 0)
		r = 98;
	ul_boot_free(&b);
	return r;
}
