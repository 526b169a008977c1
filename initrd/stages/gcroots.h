/*
 * Roots for Nix's garbage collector: what is sealed can not be deleted, so the collector must not try (it
 * would leave whiteouts in the upper, and forget paths that are still there).
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "dbgen/manifest/manifest.h"

/*
 * Make gcroots/underlay/NAME below Nix's state directory (state_fd: /nix/var/nix) hold one symlink for each top-level path
 * of the lower, as its own list (nix/.underlay/roots below lower_fd) has them or, in older images, the manifest.
 *
 * A directory that holds just these stays. Else a new one takes its place by one rename, so that there is no moment
 * without roots; durable: synced before and after. Anything that is in the way, a symlink say, is renamed away, not followed.
 * *ret_n: how many roots. -UL_E_MANIFEST, -UL_E_UPPER, -UL_E_MEMORY.
 */
int ul_gcroots_write(struct ul_manifest *m, int lower_fd, int state_fd, const char *name, bool durable, uint32_t *ret_n,
		     struct ul_error *err);
