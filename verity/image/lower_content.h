/*
 * What the sealed filesystem holds, checked offline: manifest, image.json and database against each other. The
 * filesystem is mounted read-only from a range of the image, where nobody else sees it.
 */
#pragma once

#include <stdbool.h>

#include "verity/format/descriptor.h"
#include "verity/image/work.h"
#include "verity/open/slots.h"

/* A lower that is mounted for this thread alone. */
struct ul_lower_view {
	int fd;        /* its root */
	char path[64]; /* an empty directory outside, the root inside */

	struct ul_leftover *leftover; /* path, which a signal removes; NULL: it is not looked after */
};

/*
 * Mount data's range: erofs, squashfs or ext4; read-only, nodev, nosuid, noexec. To be called on verified bytes
 * only. The calling thread moves into a mount namespace of its own: a file descriptor would do for all but
 * SQLite, which resolves /proc/self/fd/N by itself, to a path of the tree outside. Should the program be
 * killed, the mount is gone with it. -UL_E_SYSTEM: not root, no loop device; -UL_E_FILESYSTEM.
 */
int ul_lower_mount(const struct ul_extent *data, struct ul_lower_view *ret, struct ul_error *err);
void ul_lower_unmount(struct ul_lower_view *view);

struct ul_content_result {
	bool manifest, database; /* there, and right */
	uint64_t paths;          /* of the manifest */
	uint64_t nar_bytes;      /* hashed, where the contents were checked */
};

/*
 * Check the mounted lower. d: the descriptor, or NULL where nobody vouches for one. contents: hash every store path's
 * NAR too, by this work; NULL: do not. A foreign image without manifest is 0 with result->manifest false.
 * -UL_E_MANIFEST, -UL_E_IMAGE_INFO, -UL_E_DATABASE, -UL_E_NO_SYSTEM, -UL_E_CHECK.
 */
int ul_content_check(const struct ul_lower_view *lower, const struct ul_descriptor *d, const struct ul_work *contents,
		     struct ul_content_result *ret, struct ul_error *err);
