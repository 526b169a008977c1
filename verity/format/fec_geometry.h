/*
 * dm-verity's forward error correction: kernel Documentation admin-guide/device-mapper/verity.rst, and
 * drivers/md/dm-verity-fec.c for what that leaves open.
 *
 * What is protected is one row of blocks: the data, then the hash partition from the hash tree to the FEC area. It is
 * dealt out to rounds = ceil(blocks / (255 - roots)) rounds, round n getting the blocks n, n + rounds, n + 2 * rounds
 * and so on, zeros behind the last block: neighbours, which are damaged together, lie in different rounds. Byte b of a
 * round's blocks is one message of a Reed-Solomon code RS(255, 255 - roots) over GF(2^8) (polynomial 0x11d, first root
 * 1); its `roots` bytes of parity lie at (n * block size + b) * roots of the FEC area. As dm-verity knows by the hashes
 * which blocks are bad, `roots` blocks of a round may be: blocks that are `rounds` apart.
 *
 * Nothing vouches for the area, and nothing need: what the kernel mends it hashes again before it serves it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "verity/format/descriptor.h"

#define UL_FEC_ROOTS_MIN   2
#define UL_FEC_ROOTS_MAX   24
#define UL_FEC_CODE_LENGTH 255 /* symbols of a code word: message and parity */

/* Rounds that the protected blocks of d make, which has FEC; *ret_blocks: how many are protected. */
uint64_t ul_fec_rounds(const struct ul_descriptor *d, uint64_t *ret_blocks);

/* Bytes of the area of d, whose fec_start, hash_start and geometry are valid; 0: no FEC. */
uint64_t ul_fec_size(const struct ul_descriptor *d);

/*
 * Whether the area of d, which has FEC and a hash tree that ends at tree_end, is possible and lies in a partition of
 * size bytes. Its other geometry is valid.
 */
bool ul_fec_fits(const struct ul_descriptor *d, uint64_t tree_end, uint64_t size);
