/*
 * dm-verity's forward error correction: kernel Documentation admin-guide/device-mapper/verity.rst, and
 * drivers/md/dm-verity-fec.c for what that leaves open.
 *
 * What is protected is one row of blocks: the data, then the hash partition from the hash tree to the FEC area.
 * It is dealt out to rounds = ceil(blocks / (255 - roots)) rounds, round n getting the blocks n, n + rounds, n + 2 *
 * rounds and so on, zeros where there is none: neighbours, which are damaged together, lie in different rounds. Byte b
 * of a round's blocks is one message of a Reed-Solomon code RS(255, 255 - roots) over GF(2^8) (polynomial 0x11d,
 * first root 1); its `roots` bytes of parity lie at (n * block size + b) * roots of the FEC area. As dm-verity
 * knows by the hashes which blocks are bad, `roots` blocks of a round may be: blocks that are `rounds` apart.
 *
 * Nothing vouches for the area, and nothing need: what the kernel mends it hashes again before it serves it.
 *
 * Computed here, not by libcryptsetup: that has one core, two system calls for every 253 bytes, and no room for an
 * offset of the data, so an image file would need loop devices, and root.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"
#include "verity/format/descriptor.h"

#define UL_FEC_ROOTS_MIN 2
#define UL_FEC_ROOTS_MAX 24

/* Bytes of the area of d, whose fec_start, hash_start and geometry are valid; 0: no FEC. */
uint64_t ul_fec_size(const struct ul_descriptor *d);

/*
 * Write the area at hash_offset + d->fec_start for the data at data_offset and the finished tree. Offsets in bytes.
 * threads 0: all processors. -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_fec_write(int data_fd, uint64_t data_offset, int hash_fd, uint64_t hash_offset, const struct ul_descriptor *d,
		 unsigned int threads, struct ul_progress *progress, struct ul_error *err);

/* Compute it again and compare. -UL_E_CORRUPT where it would not mend what it should. */
int ul_fec_check(int data_fd, uint64_t data_offset, int hash_fd, uint64_t hash_offset, const struct ul_descriptor *d,
		 unsigned int threads, struct ul_progress *progress, struct ul_error *err);
