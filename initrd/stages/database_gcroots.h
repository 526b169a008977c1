/*
 * Roots for Nix's garbage collector: what is sealed can not be deleted, so the collector must not try (it
 * would leave whiteouts in the upper, and forget paths that are still there).
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "dbgen/manifest/manifest.h"

/* Whose roots, and where. */
struct ul_gcroots {
	struct ul_manifest *manifest; /* of the lower */
	int lower_fd;                 /* its root directory */
	int state_fd;                 /* Nix's state directory, /nix/var/nix */
	const char *name;             /* "lower0" */
	bool durable;                 /* sync before and after: the upper outlives this boot */
};

/*
 * Make gcroots/underlay/NAME below Nix's state directory hold one symlink for each top-level path
 * of the lower, as its own list (nix/.underlay/roots) has them or, in older images, the manifest.
 *
 * A directory that holds just these stays. Else a new one takes its place by one rename, so that there is no moment
 * without roots. Anything that is in the way, a symlink say, is renamed away, not followed.
 * *ret_n: how many roots. -UL_E_MANIFEST, -UL_E_UPPER, -UL_E_MEMORY.
 */
int ul_gcroots_write(const struct ul_gcroots *g, uint32_t *ret_n, struct ul_error *err);
