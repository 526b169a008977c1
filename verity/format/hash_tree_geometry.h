/*
 * Where the dm-verity hash tree lies: kernel Documentation admin-guide/device-mapper/verity.rst, hash type 1 (salt
 * first). Pure arithmetic; verity/image/hash_tree.h computes and checks the tree.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "verity/format/descriptor.h"

#define UL_HASH_TREE_LEVELS 24 /* more than any possible geometry has: 2^63 bytes, 8 digests a block */

/*
 * Where the levels lie: level 0 holds the digests of the data blocks, level i those of level i - 1's blocks;
 * the root hash is the digest of the last level's only block (of the only data block where levels is 0). On
 * disk the last level comes first.
 */
struct ul_hash_tree_geometry {
	unsigned int levels;
	uint32_t digests_per_block;
	uint64_t start[UL_HASH_TREE_LEVELS];  /* bytes from the start of the tree */
	uint64_t blocks[UL_HASH_TREE_LEVELS]; /* hash blocks */
	uint64_t size;                        /* bytes: of all levels; 0 for a single data block */
};

/* Data and hash blocks, as both descriptor and superblock may have them: 512, 1024, 2048 or 4096 bytes. */
bool ul_block_size_valid(uint32_t size);

/* false: no possible geometry (no blocks, block sizes, unknown hash, more than 2^63 - 1 bytes). */
bool ul_hash_tree_measure(const struct ul_descriptor *d, struct ul_hash_tree_geometry *ret);

/*
 * Bytes of the tree (without superblock) for d's geometry; 0: impossible geometry or overflow (or a single
 * data block, whose digest is the root hash without any tree).
 */
uint64_t ul_hash_tree_size(const struct ul_descriptor *d);
