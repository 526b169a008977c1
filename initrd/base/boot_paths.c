#include "initrd/base/boot_paths.h"

#include <limits.h>
#include <stdio.h>

char *ul_boot_path(const struct ul_boot *b, const char *path, char *buf)
{
	/* Both parts are ours and short; a cut path would only name something that is not there. */
	snprintf(buf, PATH_MAX, "%s%s%s", b->root, *path == '/' ? "" : "/", path);
	return buf;
}

char *ul_lower_path(const struct ul_boot *b, const struct ul_lower *lower, const char *path, char *buf)
{
	snprintf(buf, PATH_MAX, "%s%s/%s", b->root, lower->mount, path);
	return buf;
}

const char *ul_boot_system(const struct ul_boot *b)
{
	return b->profile ? b->profile : b->lowers[b->n_lowers - 1].system;
}
