/*
 * The top-level paths of a manifest: those that no other of its paths refers to. Their closure is the whole manifest,
 * so they are what Nix's garbage collector needs as roots of a sealed store. Finding them costs what the manifest is
 * large: an image has the list in nix/.underlay/roots, base names in path order, one a line; since `image build` adds a
 * path that refers to all of them (root_path.h) it is one line.
 *
 */
#pragma once

#include "common/buffer.h"
#include "dbgen/manifest/manifest.h"

#define UL_ROOTS_MAX (64 << 20) /* bytes of the list */

/* Append the list. -UL_E_MANIFEST, -UL_E_MEMORY. */
int ul_roots_list(struct ul_manifest *m, struct ul_buffer *ret, struct ul_error *err);
