/* The trials of this machine, or of a disk that is named: for `underlay slots`, `rollback` and `mark-good`. */
#pragma once

#include <json-c/json.h>

#include "verity/disk/disk_trials.h"

#define CLI_TRIALS_DISK_ROW(at)                                                               \
	{                                                                                     \
		"disk", 0, "DISK", CLI_FILE, (at), 0,                                         \
			.help = "the disk, or its file; the one that the machine was booted " \
				"from when not given"                                         \
	}

/* disk NULL: as state.json says. As ul_disk_trials_open; -UL_E_SYSTEM also where the machine was not booted by us. */
int cli_trials_open(const char *disk, enum ul_trial_access access, struct ul_disk_trials *ret, struct ul_error *err);

/* "demo 1.1", "an image 1.1", escaped. */
#define CLI_TRIAL_TITLE (2 * UL_NAME_SIZE + 16)
const char *cli_trial_title(const struct ul_disk_trial *t, char buf[CLI_TRIAL_TITLE]);
