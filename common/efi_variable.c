#include "common/efi_variable.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"

/* EFI_VARIABLE_NON_VOLATILE, _BOOTSERVICE_ACCESS, _RUNTIME_ACCESS (UEFI specification, 8.2). */
static const unsigned char attributes[4] = {7};

static const char *path_of(const char *dir, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

int ul_efi_variable_read(const char *dir, const char *name, size_t max, struct ul_buffer *ret)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	char path[PATH_MAX];
	int r = ul_read_file(AT_FDCWD, path_of(dir, name, path), max + sizeof(attributes), &bytes);

	if (r < 0)
		return r;
	if (bytes.len < sizeof(attributes))
		return -EIO;
	return ul_buffer_append(ret, bytes.data + sizeof(attributes), bytes.len - sizeof(attributes));
}

static void make_mutable(const char *path)
{
	ul_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags = 0;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags &= ~FS_IMMUTABLE_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int ul_efi_variable_write(const char *dir, const char *name, const void *data, size_t len)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	char path[PATH_MAX];

	if (ul_buffer_append(&bytes, attributes, sizeof(attributes)) < 0 || ul_buffer_append(&bytes, data, len) < 0)
		return -ENOMEM;
	make_mutable(path_of(dir, name, path));
	/* One write: the filesystem hands each to the firmware as the whole variable. */
	return ul_write_file(AT_FDCWD, path, 0644, bytes.data, bytes.len);
}

int ul_efi_variable_remove(const char *dir, const char *name)
{
	char path[PATH_MAX];

	make_mutable(path_of(dir, name, path));
	return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
}
