/* The arithmetic of the hash tree: how many levels, how large, where. Hostile numbers end here. */
#include "verity/format/hash_tree_geometry.h"

#include <string.h>

static bool power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

bool ul_block_size_valid(uint32_t size)
{
	return power_of_two(size) && size >= 512 && size <= 4096;
}

bool ul_hash_tree_measure(const struct ul_descriptor *d, struct ul_hash_tree_geometry *ret)
{
	/* Digests lie at power-of-two distances; those of both hashes are such lengths already. */
	uint32_t digest_len = !strcmp(d->hash, "sha256") ? 32 : !strcmp(d->hash, "sha512") ? 64 : 0;
	struct ul_hash_tree_geometry g = {0};
	uint64_t blocks = d->data_blocks, data_size;

	if (digest_len == 0 || !power_of_two(d->data_block_size) || !power_of_two(d->hash_block_size) ||
	    d->hash_block_size < 2 * digest_len || blocks == 0 ||
	    __builtin_mul_overflow(blocks, d->data_block_size, &data_size) || data_size > INT64_MAX)
		return false;
	g.digests_per_block = d->hash_block_size / digest_len;
	while (blocks > 1) {
		blocks = (blocks - 1) / g.digests_per_block + 1;
		if (g.levels == UL_HASH_TREE_LEVELS)
			return false;
		g.blocks[g.levels++] = blocks;
	}
	for (unsigned int i = g.levels; i-- > 0;) {
		uint64_t bytes;

		g.start[i] = g.size;
		if (__builtin_mul_overflow(g.blocks[i], d->hash_block_size, &bytes) ||
		    __builtin_add_overflow(g.size, bytes, &g.size) || g.size > INT64_MAX)
			return false;
	}
	*ret = g;
	return true;
}

uint64_t ul_hash_tree_size(const struct ul_descriptor *d)
{
	struct ul_hash_tree_geometry g;

	return ul_hash_tree_measure(d, &g) ? g.size : 0;
}
