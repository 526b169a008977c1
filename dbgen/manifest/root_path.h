/*
 * The root path: one store path that refers to all top-level ones of a manifest, so that its closure is the whole
 * manifest. An image is sealed with it, and it is the collector's only root of a sealed store: Nix computes the closure
 * of each root that it meets anew, so thousands of roots would cost it that many walks.
 *
 *     STORE_DIR/HASH-underlay-roots    a regular file that holds UL_ROOT_PATH_CONTENTS
 *
 * It is content-addressed as Nix's own text files are (`builtins.toFile`), so it needs no signature, and two equal
 * stores have the same one:
 *
 *     HASH = base-32 of SHA-256("text:REF:…:REF:sha256:HEX:STORE_DIR:underlay-roots"), folded to 20 bytes by XOR
 *     REF: the top-level paths, in full, in path order. HEX: SHA-256 of the contents. ca: "text:sha256:" and the same
 *     hash in base-32. No deriver, signatures nor registration time.
 *
 * Where a manifest has only one top-level path, that path is its root.
 */
#pragma once

#include "common/buffer.h"
#include "dbgen/manifest/manifest.h"

#define UL_ROOT_PATH_NAME     "underlay-roots"
#define UL_ROOT_PATH_CONTENTS "The root of a sealed store: it refers to each of the store's top-level paths.\n"

/*
 * The manifest m with its root path. *ret: the new manifest over *bytes, both to be freed, and base its root path's
 * base name; or NULL, and base the one top-level path's ("" of an empty manifest), where m needs no other.
 * -UL_E_MANIFEST, -UL_E_INPUT (more paths than a manifest can hold), -UL_E_MEMORY.
 */
int ul_root_path_add(struct ul_manifest *m, struct ul_buffer *bytes, struct ul_manifest **ret,
		     char base[UL_BASE_NAME_MAX + 1], struct ul_error *err);
