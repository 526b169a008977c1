/*
 * Images that others made, and directories that a host shares: systemd-repart with Verity=data|hash|signature, as
 * NixOS' image.repart.verityStore has it. What they hold is verified like ours; they say less of themselves.
 *
 *     store          nix/store, usr/nix/store, or the filesystem's root (a usr partition that is all store)
 *     manifest       made from a registration file inside: the policy's [lower] registration (below
 *                    /nix/store: in the store, wherever that is), or nix-path-registration of the root,
 *                    .nix-path-registration of the store
 *     name, version  the partition's label says them and nobody vouches for it: for messages only
 *     system         the policy's
 */
#pragma once

#include <stdbool.h>

#include "verity/lower/judge.h"

/* A registration that is larger than this is refused: some 400,000 paths, and as many bytes more while it is read. */
#define UL_REGISTRATION_MAX (128u << 20)

/* Not ours: nix/.underlay is not in it, and no signed descriptor says that it should be. */
bool ul_lower_is_foreign(const struct ul_lower_root *root);

/*
 * Fill judged->store, info and, where there is a registration, manifest (else NULL). -UL_E_IMAGE_INFO: no store;
 * -UL_E_NO_IMAGE: a name is demanded, and nothing sealed has one; -UL_E_MANIFEST: no registration where one is
 * required, or a wrong one. On failure what was filled stays: free it.
 */
int ul_lower_read_foreign(const struct ul_lower_root *root, const struct ul_requirements *demands,
			  struct ul_judged *judged, struct ul_error *err);
