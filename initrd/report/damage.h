/* What dm-verity found to be corrupt, in the boot's reports: by the kernel's log, down to store path and file. */
#pragma once

#include "initrd/base/boot.h"

/*
 * A stage failed while lower was in work: where the kernel's log names corrupt blocks of its device, add to err->why
 * which they are and what they belong to. The filesystem's metadata is read from the raw device, unverified, in a
 * process of its own that has a time limit: what becomes of it costs an explanation, no more.
 */
void ul_damage_explain(const struct ul_boot *b, const struct ul_lower *lower, struct ul_error *err);

/* lower->mended, for state.json, where the image has error correction. */
void ul_damage_ask(struct ul_boot *b);
