/*
 * The sealed filesystem of an image, mounted read-only from a range of it, where nobody else sees it.
 */
#pragma once

#include "common/error.h"
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
