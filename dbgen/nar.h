/*
 * The NAR serialisation of a file system object and its SHA-256, as Nix's `nix-store --dump` defines it
 * (E. Dolstra, "The Purely Functional Software Deployment Model", 2006, figure 5.2).
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

/*
 * Hash the object at path (a file, directory or symlink). Deterministic: entries in byte order; of the
 * metadata only the executable bit counts. *ret_size: bytes of the NAR. Other kinds of files are
 * -UL_E_CHECK, unreadable ones -UL_E_SYSTEM.
 */
int ul_nar_hash(int dirfd, const char *path, uint8_t ret_hash[32], uint64_t *ret_size,
		struct ul_error *err);
