/* The lower of a policy that verifies nothing: see share.h. */
#pragma once

#include "initrd/base/boot.h"

/*
 * Wait for the share that the policy's [lower] share names, as long as for an image, and mount it read-only at /nix/.ro
 * of the new root: to mount it is the only way to ask every kernel for a tag. b->lowers then has one more element,
 * which is `shared`. -UL_E_DEVICE: it did not appear; -UL_E_MODULE; -UL_E_FILESYSTEM: the kernel cannot mount it. Where
 * it was refused before, that refusal again: the policy names only this one.
 */
int ul_find_share(struct ul_boot *b, struct ul_error *err);
