/*
 * overlayfs' own rule for "opaque": exactly one byte, y; any other value does not count. `origin` is on each directory
 * that it copied up, and on none that somebody made.
 */
#include "dbgen/layers/overlay_marks.h"

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/xattr.h>

bool ul_overlay_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

int ul_overlay_marks_read(int fd, bool userxattr, struct ul_overlay_marks *ret)
{
	struct ul_overlay_marks marks;
	char value = 0;
	ssize_t n = fgetxattr(fd, userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque", &value, sizeof(value));

	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != ERANGE)
		return -errno;
	marks.opaque = n == 1 && value == 'y';
	n = fgetxattr(fd, userxattr ? "user.overlay.origin" : "trusted.overlay.origin", NULL, 0);
	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	marks.copied = n >= 0;
	*ret = marks;
	return 0;
}
