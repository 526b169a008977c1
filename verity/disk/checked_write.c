#include "verity/disk/checked_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"

int ul_disk_writer_open(const char *disk, struct ul_disk_writer *ret, struct ul_error *err)
{
	*ret = (struct ul_disk_writer){.fd = -1, .direct_fd = -1, .differs = UINT64_MAX};
	ret->fd = open(disk, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (ret->fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "opening the disk", disk, NULL, errno);
	ret->direct_fd = open(disk, O_RDWR | O_CLOEXEC | O_NOCTTY | O_DIRECT);
	return 0;
}

void ul_disk_writer_close(struct ul_disk_writer *w)
{
	ul_cleanup_close(&w->fd);
	ul_cleanup_close(&w->direct_fd);
	w->fd = w->direct_fd = -1;
}

/* Whether the disk has these bytes there. 1, 0, -errno. */
static int has(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	ul_autofree uint8_t *there = aligned_alloc(
		UL_DISK_WRITER_ALIGN, (len + UL_DISK_WRITER_ALIGN - 1) / UL_DISK_WRITER_ALIGN * UL_DISK_WRITER_ALIGN);
	int r = there ? ul_pread_full(fd, there, len, offset) : -ENOMEM;

	return r < 0 ? r : memcmp(there, bytes, len) == 0;
}

static bool is_aligned(const uint8_t *bytes, size_t len, uint64_t offset)
{
	return ((uintptr_t)bytes | len | offset) % UL_DISK_WRITER_ALIGN == 0;
}

int ul_disk_writer_put(struct ul_disk_writer *w, const uint8_t *bytes, size_t len, uint64_t offset)
{
	bool direct = w->direct_fd >= 0 && is_aligned(bytes, len, offset);
	int fd = direct ? w->direct_fd : w->fd;
	int r = w->compare ? has(fd, bytes, len, offset) : 0;

	if (!direct)
		w->by_cache = true;
	if (r != 0) {
		w->kept += r > 0 ? len : 0;
		return r < 0 ? r : 0;
	}
	r = ul_pwrite_full(fd, bytes, len, offset);
	if (r < 0)
		return r;
	w->written += len;
	if (!direct)
		return 0;
	r = has(fd, bytes, len, offset);
	if (r == 0)
		w->differs = offset;
	return r < 0 ? r : r > 0 ? 0 : -EILSEQ;
}

int ul_disk_writer_sync(struct ul_disk_writer *w)
{
	int r;

	if (fdatasync(w->fd) < 0 || (w->direct_fd >= 0 && fdatasync(w->direct_fd) < 0))
		return -errno;
	r = posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
	return -r;
}
