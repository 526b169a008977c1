#include "initrd/boot/list.h"

const struct ul_stage ul_stages[] = {
	{"early", ul_stage_early, UL_STAGE_PID1, NULL},
	{"policy", ul_stage_policy, 0, NULL},
	{"modules", ul_stage_modules, 0, NULL},
	{"root", ul_stage_root, 0, NULL},
	{"find", ul_stage_find, 0, NULL},
	{"verify", ul_stage_verify, UL_STAGE_SLOT, "find"},
	{"trial", ul_stage_trial, 0, "find"},
	{"lower", ul_stage_lower, UL_STAGE_SLOT, "find"},
	{"upper", ul_stage_upper, 0, NULL},
	{"reconcile", ul_stage_reconcile, UL_STAGE_SLOT, "find"},
	{"database", ul_stage_database, 0, NULL},
	/* Where the kernel refuses the disk's upper, and the policy permits a tmpfs: that one wants a database too. */
	{"overlay", ul_stage_overlay, 0, "database"},
	{"system", ul_stage_system, 0, NULL},
	{"handover", ul_stage_handover, 0, NULL},
	{"pivot", ul_stage_pivot, UL_STAGE_PID1, NULL},
	{NULL, NULL, 0, NULL},
};
