/*
 * The names layer: why nothing beneath a sealed layer is ever merged into it.
 *
 *     lowerdir = SEALED : NAMES : KEPT
 *
 * NAMES is a directory that holds, for each directory at the top of the sealed store (dot names too), an empty regular
 * file of that name. Overlayfs ends its descent where it meets a non-directory below a directory (fs/overlayfs/namei.c,
 * ovl_lookup), so what KEPT has under that name is never merged into the sealed one. The file itself is never seen: the
 * sealed directory lies above it. Sealed files and symlinks hide what lies beneath anyway. Nothing of it is an
 * attribute that could be unreadable: a lookup in NAMES that fails is an error of the whole lookup.
 *
 * In an image: nix/.underlay/names. For other lowers it is made at boot, in a tmpfs.
 *
 * `.links`, the directory of Nix's hard links, is guarded whether the store has it or not: from one that somebody
 * prepared `nix-store --optimise` would replace sealed files. Where the store lacks it (another maker's image), a layer
 * with an empty one has to lie between, or the guard itself would be seen, and Nix would find a file:
 *
 *     lowerdir = SEALED : LINKS : NAMES : KEPT
 *
 *     names/HASH-name    an empty regular file, mode 0444: hard links to one file, a new file every UL_LAYER_LINKS
 *                        names.
 *                        The names are taken in the order of strcmp, so that equal stores give equal images.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define UL_LAYER_LINKS      10000 /* hard links to one file; ext4, from which an image may be made, allows 65,000 */
#define UL_LAYER_LINKS_NAME ".links"

/*
 * Make the names of the directories in store_fd, and `.links`, in names_fd, an empty directory. what: for messages
 * ("laying out the tree"). Both descriptors stay the caller's. Errors: -UL_E_SYSTEM, -UL_E_MEMORY; -UL_E_CORRUPT where
 * the store cannot be read for an I/O error.
 */
int ul_layer_names_make(int store_fd, int names_fd, const char *what, uint64_t *ret_n, struct ul_error *err);

/*
 * Whether names_fd holds those names, as empty regular files, and no others. -UL_E_CHECK naming the first that is
 * wrong, and the errors of ul_layer_names_make.
 */
int ul_layer_names_check(int store_fd, int names_fd, const char *what, struct ul_error *err);

/* Whether the store lacks `.links`, so that the layer LINKS is needed. -UL_E_SYSTEM, -UL_E_CORRUPT. */
int ul_layer_links_missing(int store_fd, const char *what, bool *ret, struct ul_error *err);

/* Make that layer in links_fd, an empty directory. -UL_E_SYSTEM. */
int ul_layer_links_make(int links_fd, const char *what, struct ul_error *err);
