/*
 * The UKI that comes with an image: to the place from which the firmware or systemd-boot starts it, on the EFI system
 * partition of the image's disk.
 *
 *   with a boot loader     EFI/Linux/NAME_VERSION+TRIES.efi; those of the name whose image no slot holds any more go
 *   without                EFI/BOOT/BOOT<machine>.EFI, in the place of the one that is there
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/names.h"
#include "verity/disk/esp_files.h"
#include "verity/format/descriptor.h"

struct ul_update_uki_options {
	const char *uki;
	const char *efi;          /* how UEFI names its machine: "X64" */
	const char *architecture; /* as partition types have it: "x86-64" */
	unsigned int tries;       /* that the boot loader has for it; 0: it is not counted */
};

struct ul_update_uki {
	struct ul_esp_files esp;
	const char *dir;
	char name[256];
	char path[300];         /* of the UKI, from the partition's root */
	struct ul_names remove; /* in dir: what no slot needs, and older counters of this one */
	bool is_open;
};

/*
 * Look what is there, and whether there is room. keep: NAME_VERSION of all images that the disk will hold, the new one
 * last. -UL_E_INPUT, with the numbers: there is no EFI system partition, or no room on it; -UL_E_SYSTEM. *ret is to be
 * closed in any case.
 */
int ul_update_uki_plan(const struct ul_update_uki_options *o, const char *disk, const struct ul_gpt *gpt,
		       const struct ul_names *keep, struct ul_update_uki *ret, struct ul_error *err);
int ul_update_uki_write(const struct ul_update_uki_options *o, struct ul_update_uki *plan, struct ul_error *err);
void ul_update_uki_close(struct ul_update_uki *plan);
