/*
 * dm-verity's forward error correction, computed and checked: the area of verity/format/fec_geometry.h.
 *
 * Computed here, not by libcryptsetup: that has one core, two system calls for every 253 bytes, and no room for an
 * offset of the data, so an image file would need loop devices, and root.
 */
#pragma once

#include "common/error.h"
#include "verity/format/descriptor.h"
#include "verity/image/work.h"

/*
 * Write the area at hash_offset + d->fec_start for the data and the finished tree. -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_fec_write(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		 struct ul_error *err);

/* Compute it again and compare. -UL_E_CORRUPT where it would not mend what it should. */
int ul_fec_check(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		 struct ul_error *err);
