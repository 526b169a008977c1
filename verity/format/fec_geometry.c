#include "verity/format/fec_geometry.h"

uint64_t ul_fec_rounds(const struct ul_descriptor *d, uint64_t *ret_blocks)
{
	uint32_t size = d->hash_block_size, message = UL_FEC_CODE_LENGTH - d->fec_roots;
	uint64_t blocks = d->data_blocks + d->fec_start / size - d->hash_start / size;

	*ret_blocks = blocks;
	return (blocks - 1) / message + 1;
}

uint64_t ul_fec_size(const struct ul_descriptor *d)
{
	uint64_t blocks;

	return d->fec_roots ? ul_fec_rounds(d, &blocks) * d->fec_roots * d->hash_block_size : 0;
}

bool ul_fec_fits(const struct ul_descriptor *d, uint64_t tree_end, uint64_t size)
{
	uint64_t end, block = d->data_block_size;

	if (d->fec_roots < UL_FEC_ROOTS_MIN || d->fec_roots > UL_FEC_ROOTS_MAX || d->hash_block_size != block ||
	    d->fec_start % block != 0 || d->fec_start < tree_end)
		return false;
	return !__builtin_add_overflow(d->fec_start, ul_fec_size(d), &end) && end <= size;
}
