/*
 * dm-verity's forward error correction, computed and checked: the area of verity/format/fec_geometry.h.
 *
 * Computed here, not by libcryptsetup: that has one core, two system calls for every 253 bytes, and no room for an
 * offset of the data, so an image file would need loop devices, and root.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"
#include "verity/format/descriptor.h"

/*
 * Write the area at hash_offset + d->fec_start for the data at data_offset and the finished tree. Offsets in bytes.
 * threads 0: all processors. -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_fec_write(int data_fd, uint64_t data_offset, int hash_fd, uint64_t hash_offset, const struct ul_descriptor *d,
		 unsigned int threads, struct ul_progress *progress, struct ul_error *err);

/* Compute it again and compare. -UL_E_CORRUPT where it would not mend what it should. */
int ul_fec_check(int data_fd, uint64_t data_offset, int hash_fd, uint64_t hash_offset, const struct ul_descriptor *d,
		 unsigned int threads, struct ul_progress *progress, struct ul_error *err);
