#include "common/dir.h"

#include <fcntl.h>
#include <string.h>

int ul_dir_of(int fd, DIR **ret)
{
	DIR *dir = fdopendir(fd);
	int error = errno;

	if (!dir) {
		close(fd);
		return -error;
	}
	/* Another user of the descriptor may have moved its offset. */
	rewinddir(dir);
	*ret = dir;
	return 0;
}

int ul_dir_open(int dirfd, const char *name, DIR **ret)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : ul_dir_of(fd, ret);
}

int ul_dir_next(DIR *dir, struct dirent **ret)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
	} while (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."));
	*ret = entry;
	return 1;
}

bool ul_dir_next_readable(DIR *dir, struct dirent **ret)
{
	int r = ul_dir_next(dir, ret);

	return r > 0;
}

int ul_dir_names(int fd, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry = NULL;
	int r = ul_dir_open(fd, ".", &dir);

	while (dir && r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = ul_names_add(ret, entry->d_name);
	return r;
}
