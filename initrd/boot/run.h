/* The loop over a list of stages. The boot's own list is initrd/boot/list.h; tests have others. */
#pragma once

#include "initrd/base/boot.h"
#include "initrd/stages/stages.h"

enum {
	UL_STAGE_PID1 = 1 << 0, /* only as PID 1: another initramfs does it else */
	/*
	 * Its failure refuses the slot, and the boot goes back for the next one; but not where the upper is to blame
	 * (-UL_E_UPPER), with which no other slot would do better: an older image must not start because a disk is
	 * full.
	 */
	UL_STAGE_SLOT = 1 << 1,
};

/* A row of the list. */
struct ul_stage {
	const char *name;
	int (*run)(struct ul_boot *b, struct ul_error *err); /* 0, UL_STAGE_BACK, or -UL_E_... */
	unsigned int flags;
	const char *back; /* the earlier row to go back to: for UL_STAGE_SLOT and UL_STAGE_BACK; NULL: none */
};

/*
 * Run the list, which ends with a row without a name. On failure b->failed_stage and *err tell. As PID 1 the last stage
 * does not return when it succeeds.
 */
int ul_boot_run(struct ul_boot *b, const struct ul_stage *stages, struct ul_error *err);
