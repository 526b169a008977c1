/*
 * What the sealed file system holds, checked offline: manifest, image.json and database against each other. The
 * file system is mounted read-only from a range of the image, nowhere in the tree of mounts: it is gone with
 * its descriptor.
 */
#pragma once

#include <stdbool.h>

#include "common/progress.h"
#include "verity/descriptor.h"
#include "verity/slots.h"

/*
 * Mount data's range (erofs, squashfs or ext4; read-only, nodev, nosuid, noexec) and return its root as
 * *ret_fd; closing it takes loop device and mount down. To be called on verified bytes only. -UL_E_SYSTEM:
 * not root, no loop device; -UL_E_FILESYSTEM.
 */
int ul_lower_mount(const struct ul_extent *data, int *ret_fd, struct ul_error *err);

struct ul_content_result {
	bool manifest, database; /* there, and right */
	uint64_t paths;          /* of the manifest */
	uint64_t nar_bytes;      /* hashed, where the contents were checked */
};

/*
 * Check the mounted lower rootfd. d: the descriptor, or NULL where nobody vouches for one. contents: hash every
 * store path's NAR too. A foreign image without manifest is 0 with result->manifest false. -UL_E_MANIFEST,
 * -UL_E_IMAGE_INFO, -UL_E_DATABASE, -UL_E_NO_SYSTEM, -UL_E_CHECK.
 */
int ul_content_check(int rootfd, const struct ul_descriptor *d, bool contents, unsigned int threads,
		     struct ul_progress *progress, struct ul_content_result *ret,
		     struct ul_error *err);
