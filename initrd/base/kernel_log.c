#include "initrd/base/kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/number.h"

#define RECORD_MAX 8192 /* what the kernel gives at once, at most */
#define WARNING    4    /* of its levels */

int ul_kernel_log_open(const struct ul_boot *b)
{
	ul_autofree char *path = ul_path_join(b->dev_dir, "kmsg");
	int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;

	if (fd >= 0)
		(void)lseek(fd, 0, SEEK_END);
	return fd;
}

bool ul_kernel_log_take(const char *record, const char *name, char *buf, size_t size)
{
	const char *text = strchr(record, ';');
	char mark[80];
	uint64_t priority;
	int len;

	/* A program's line has its facility in the bits from 3 on. */
	if (!text++ || !ul_take_number(&record, &priority) || priority > WARNING)
		return false;
	len = (int)strcspn(text, "\n");
	snprintf(buf, size, "%.*s", len, text);
	snprintf(mark, sizeof(mark), "(%.60s): ", name);
	if (strstr(buf, mark))
		return true;
	snprintf(mark, sizeof(mark), "(device %.60s): ", name);
	return strstr(buf, mark) != NULL;
}

/* "dm-0" for /dev/mapper/underlay. */
static bool kernel_name(const struct ul_boot *b, const char *device, char name[64])
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash;
	struct stat st;

	if (stat(device, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", b->sys_dir, major(st.st_rdev), minor(st.st_rdev));
	if (ul_read_link(AT_FDCWD, path, target) < 0)
		return false;
	slash = strrchr(target, '/');
	snprintf(name, 64, "%.60s", slash ? slash + 1 : target);
	return true;
}

bool ul_kernel_log_complaint(const struct ul_boot *b, int log_fd, const char *device, char *buf, size_t size)
{
	char record[RECORD_MAX], name[64];

	if (log_fd < 0 || !kernel_name(b, device, name))
		return false;
	for (;;) {
		ssize_t n = read(log_fd, record, sizeof(record) - 1);

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* a record was overwritten before it was read: the next one */
		if (n <= 0)
			return false;
		record[n] = '\0';
		if (ul_kernel_log_take(record, name, buf, size))
			return true;
	}
}
