/*
 * What the policy's [upper] needs in the initramfs: for each permitted filesystem its fsck, where the policy wants it
 * run and this machine has it; where the device may be formatted the mkfs of the first. They go to /sbin, with
 * their libraries.
 */
#pragma once

#include "initrd/pack/cpio.h"
#include "common/names.h"
#include "initrd/policy/policy.h"

/*
 * missing gets the names of the checking programs that this machine lacks: a boot without them mounts unchecked. A
 * mkfs that is lacking is -UL_E_SYSTEM.
 */
int ul_pack_upper(struct ul_cpio *c, const struct ul_policy *policy, struct ul_names *missing, struct ul_error *err);
