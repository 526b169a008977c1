/*
 * Stage reconcile. Before: lower and upper are mounted. After: nothing in the upper hides a sealed path. An
 * upper on tmpfs was made by stage upper a moment ago: here it is shown to be empty, so there is
 * nothing to reconcile. Should it not be, it is not the upper that we made.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/paths.h"
#include "initrd/boot.h"

int ul_stage_reconcile(struct ul_boot *b, struct ul_error *err)
{
	static const char what[] = "checking the upper against the lower";
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *dir = opendir(ul_boot_path(b, UL_PATH_UPPER_STORE, path));
	int r = 0;

	if (!dir)
		return ul_error_errno(err, UL_E_RECONCILE, what, path, NULL, errno);
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = ul_error_set(err, UL_E_RECONCILE, what, entry->d_name, NULL,
					 "a new upper must be empty");
	if (r == 0 && errno != 0)
		r = ul_error_errno(err, UL_E_RECONCILE, what, path, NULL, errno);
	closedir(dir);
	return r;
}
