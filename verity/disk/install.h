/*
 * The disk of verity/disk/disk_build.h made on a machine's own disk, or on a file that stands for one: the same layout,
 * over all that there is.
 *
 * Before the first byte is written all that can be refused is. Then, each durable before the next:
 *
 *     begin and end of the disk and of every partition   zeros: no table, no mark of what was there
 *     the first slot                                     the image, read back from the disk and held against its tree
 *     the EFI system partition                           read back and compared
 *     both copies of the table                           but for the disk's first sector
 *     the first sector                                   without it nobody takes the table for one
 *
 * A power cut at any of them leaves a disk that starts nothing and counts as empty: the same command begins anew.
 */
#pragma once

#include <stdbool.h>

#include "common/progress.h"
#include "verity/disk/disk_parts.h"

struct ul_install_options {
	const char *device;
	struct ul_disk_spec spec;          /* sector: 0, or what a file stands for; size and device are set here */
	const struct ul_source_pick *pick; /* NULL: the image is the only one */
	const char *erase;                 /* device again: what is on it may go; NULL */
	const char *system_disk;           /* what the running system was started from; NULL: nobody knows */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

struct ul_install_result {
	struct ul_disk_result disk;
	int reread_errno; /* why the kernel did not read the new table; 0: it did, or there was nothing to ask */
};

/*
 * -UL_E_INPUT, -UL_E_SYSTEM: as ul_device_open has them, or the parts do not fit; -UL_E_USAGE: erase names another
 * device; -UL_E_EXISTS: the device is not empty, and there is no leave to erase it; -UL_E_CORRUPT: a block of the image
 * does not match its hash tree, or what was written did not come back; what reading the image gives.
 */
int ul_install(const struct ul_install_options *options, struct ul_install_result *ret, struct ul_error *err);
