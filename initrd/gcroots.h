/*
 * Roots for Nix's garbage collector: what is sealed can not be deleted, so the collector must not try (it
 * would leave whiteouts in the upper, and forget paths that are still there).
 */
#pragma once

#include "common/error.h"
#include "dbgen/manifest.h"

/*
 * Make dir (below dirfd, which exists) hold one symlink for each top-level path of the manifest: one that no
 * other path refers to. Their closure is the whole manifest. *ret_n: how many.
 * -UL_E_MANIFEST, -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_gcroots_write(struct ul_manifest *m, int dirfd, const char *dir, uint32_t *ret_n,
		     struct ul_error *err);
