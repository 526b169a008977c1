#include "verity/lower/system_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "dbgen/store/store_path.h"

bool ul_is_store_path(const char *path)
{
	const char *base = ul_store_base_of(UL_PATH_STORE, path);

	return base && *base != '.';
}

int ul_open_in_root(int root_fd, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

int ul_system_check(int root_fd, const char *system, const char *init, struct ul_error *err)
{
	static const char what[] = "looking for the system to start";
	ul_autoclose int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	if (!ul_is_store_path(system))
		return ul_error_set(err, UL_E_NO_SYSTEM, what, system, NULL, "it is not a path of %s", UL_PATH_STORE);
	snprintf(path, sizeof(path), "%s/%s", system, init);
	fd = ul_open_in_root(root_fd, path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ul_error_errno_of_lower(err, UL_E_NO_SYSTEM, what, path,
					       "Build the image with a system that has it.", errno);
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return ul_error_set(err, UL_E_NO_SYSTEM, what, path, NULL, "it is not an executable file");
	return 0;
}
