/*
 * Images that others made, and directories that a host shares: systemd-repart with Verity=data|hash|signature, as
 * NixOS' image.repart.verityStore has it. What they hold is verified like ours; they say less of themselves.
 *
 *     store          nix/store, usr/nix/store, or the filesystem's root (a usr partition that is all store)
 *     manifest       made at boot from a registration file inside: the policy's [lower] registration (below
 *                    /nix/store: in the store, wherever that is), or nix-path-registration of the root,
 *                    .nix-path-registration of the store
 *     name, version  the partition's label says them and nobody vouches for it: for messages only
 *     system         the policy's
 */
#pragma once

#include <stdbool.h>

#include "initrd/base/boot.h"

/* A registration that is larger than this is refused: some 400,000 paths, and as many bytes more while it is read. */
#define UL_REGISTRATION_MAX (128u << 20)

/* Not ours: nix/.underlay is not in it, and no signed descriptor says that it should be. */
bool ul_lower_is_foreign(const struct ul_lower *lower, int root_fd);

/*
 * Fill lower->store, info and, where there is a registration, manifest (else NULL, with a warning). -UL_E_IMAGE_INFO:
 * no store; -UL_E_NO_IMAGE: the policy wants a name, and nothing sealed has one; -UL_E_MANIFEST: no registration where
 * the policy requires one, or a wrong one.
 */
int ul_lower_read_foreign(const struct ul_boot *b, struct ul_lower *lower, int root_fd, struct ul_error *err);
