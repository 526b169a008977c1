/*
 * The NAR serialisation of a file system object and its SHA-256, as Nix's `nix-store --dump` defines it
 * (E. Dolstra, "The Purely Functional Software Deployment Model", 2006, figure 5.2).
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

/*
 *     nar     = str("nix-archive-1") node
 *     node    = str("(") str("type") ( regular | symlink | directory ) str(")")
 *     regular = str("regular") [ str("executable") str("") ] str("contents") str(bytes)
 *     symlink = str("symlink") str("target") str(target)
 *     directory = str("directory") { str("entry") str("(") str("name") str(name) str("node") node str(")") }
 *     str(s)  = length of s, 64 bits little-endian; s; zeros up to a multiple of 8 bytes
 */

/*
 * Hash the object at path (a file, directory or symlink). Deterministic: entries in byte order; of the
 * metadata only the executable bit counts. *ret_size: bytes of the NAR. Other kinds of files are
 * -UL_E_CHECK, unreadable ones -UL_E_SYSTEM.
 */
int ul_nar_hash(int dirfd, const char *path, uint8_t ret_hash[32], uint64_t *ret_size, struct ul_error *err);

/* Hash one whose NAR has at most so many bytes: a greater one is -UL_E_CHECK, and is read no further. */
int ul_nar_hash_of_size(int dirfd, const char *path, uint64_t most, uint8_t ret_hash[32], uint64_t *ret_size,
			struct ul_error *err);

/* A hasher of many objects, which keeps its buffers; one per thread. NULL: no memory. */
struct ul_nar_hasher;
struct ul_nar_hasher *ul_nar_hasher_new(void);
void ul_nar_hasher_free(struct ul_nar_hasher *h);

/* Have `hashed` told, now and then, how many more bytes of NARs were hashed. */
void ul_nar_hasher_watch(struct ul_nar_hasher *h, void (*hashed)(void *user, uint64_t bytes), void *user);

int ul_nar_hasher_run(struct ul_nar_hasher *h, int dirfd, const char *path, uint8_t ret_hash[32], uint64_t *ret_size,
		      struct ul_error *err);
