#include "verity/disk/device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/disk/disk_node.h"
#include "verity/disk/disk_use.h"
#include "verity/open/partition_device.h"

#define SYSFS "/sys"
#define PROC  "/proc"
#define DEV   "/dev"

#define WINDOW (8u << 20) /* bytes that the disk is told to write at once */
#define ZEROS  (1u << 20) /* bytes */

static const char TODO_OTHER[] = "Give another disk.";

/* ---- what is refused ---- */

static int refuse_partition(const struct ul_device *d, const char *what, struct ul_error *err)
{
	ul_autofree char *disk = NULL;
	dev_t number;
	int r = ul_partition_disk(SYSFS, DEV, d->st.st_rdev, &disk, &number);

	if (r == -ENXIO)
		return 0;
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, -r);
	return ul_error_set(err, UL_E_INPUT, what, d->path, "Give the whole disk.",
			    "it is a partition of %s, not a whole disk", disk);
}

static int refuse_system(const struct ul_device *d, const char *what, const char *how, struct ul_error *err)
{
	return ul_error_set(err, UL_E_INPUT, what, d->path, TODO_OTHER, "the system that runs here lies on it%s%s",
			    how ? ": " : "", how ? how : "");
}

static int refuse_used(const struct ul_device *d, const char *what, const struct ul_disk_use *use, struct ul_error *err)
{
	if (use->by_system)
		return refuse_system(d, what, use->how, err);
	return ul_error_set(err, UL_E_SYSTEM, what, d->path, "Have it let go, or give another disk.",
			    "it is in use: %s", use->how);
}

/* The device did not open: who is it that has it, or what else is the matter? */
static int explain_open(const struct ul_device *d, int errnum, const char *what, struct ul_error *err)
{
	struct ul_disk_use use;

	if (errnum == EROFS || errnum == EACCES || errnum == EPERM)
		return ul_error_set(err, UL_E_SYSTEM, what, d->path, NULL, "it is read-only here: %s",
				    strerror(errnum));
	if (errnum != EBUSY)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, errnum);
	if (ul_disk_find_use(SYSFS, PROC, d->st.st_rdev, &use) == 1)
		return refuse_used(d, what, &use, err);
	return ul_error_set(
		err, UL_E_SYSTEM, what, d->path, "Have it let go, or give another disk.",
		"it is in use: the kernel does not tell by whom (an array, a filesystem of several disks, a "
		"mount that is not seen here, a program)");
}

/*
 * O_EXCL: the kernel refuses a disk that is mounted, swap or a part of something, whole or in a partition; and from now
 * on it refuses whoever would mount ours.
 */
static int open_alone(struct ul_device *d, const char *what, struct ul_error *err)
{
	struct stat now;
	int read_only = 0;

	d->fd = open(d->path, O_RDWR | O_CLOEXEC | O_NOCTTY | (d->is_block ? O_EXCL : 0));
	if (d->fd < 0)
		return explain_open(d, errno, what, err);
	if (fstat(d->fd, &now) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, errno);
	if (now.st_mode != d->st.st_mode || now.st_rdev != d->st.st_rdev || now.st_ino != d->st.st_ino)
		return ul_error_set(err, UL_E_SYSTEM, what, d->path, NULL, "it became another file just now");
	if (d->is_block && ioctl(d->fd, BLKROGET, &read_only) == 0 && read_only)
		return explain_open(d, EROFS, what, err);
	return 0;
}

static int lock(const struct ul_device *d, const char *what, struct ul_error *err)
{
	int r = ul_disk_lock(d->fd);

	if (r == -EWOULDBLOCK)
		return ul_error_set(err, UL_E_SYSTEM, what, d->path, "Wait for the other one.",
				    "it is in use: another program has locked it");
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, -r) : 0;
}

static int refuse_attached(const struct ul_device *d, const char *what, struct ul_error *err)
{
	struct ul_disk_use use;

	return ul_disk_file_find_use(SYSFS, &d->st, &use) == 1 ? refuse_used(d, what, &use, err) : 0;
}

static int measure(struct ul_device *d, uint32_t wanted, const char *what, struct ul_error *err)
{
	int r = ul_file_size(d->fd, &d->size), own = 512;

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, -r);
	if (d->is_block && ioctl(d->fd, BLKSSZGET, &own) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path, NULL, errno);
	if (own != 512 && own != 4096)
		return ul_error_set(err, UL_E_INPUT, what, d->path, TODO_OTHER,
				    "it has sectors of %d bytes, a disk of ours has 512 or 4096", own);
	d->sector = !d->is_block && wanted ? wanted : (uint32_t)own;
	if (d->is_block && wanted && wanted != d->sector)
		return ul_error_set(err, UL_E_INPUT, what, d->path, "Leave --sector-size out.",
				    "it has sectors of %" PRIu32 " bytes, not of %" PRIu32, d->sector, wanted);
	d->size -= d->size % d->sector;
	return 0;
}

static int look_at_path(struct ul_device *d, const char *what, struct ul_error *err)
{
	if (stat(d->path, &d->st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, d->path,
				      errno == ENOENT
					      ? "A file that stands for a disk is to be made before, as by truncate(1)."
					      : NULL,
				      errno);
	d->is_block = S_ISBLK(d->st.st_mode);
	if (d->is_block)
		return refuse_partition(d, what, err);
	return S_ISREG(d->st.st_mode) ? 0
				      : ul_error_set(err, UL_E_INPUT, what, d->path, TODO_OTHER,
						     "it is neither a disk nor a file that stands for one");
}

int ul_device_open(const char *path, const struct ul_device_demands *demands, const char *what, struct ul_device *ret,
		   struct ul_error *err)
{
	int r;

	*ret = (struct ul_device){.path = path, .fd = -1};
	r = look_at_path(ret, what, err);
	if (r == 0 && demands->system_disk && ul_device_is(ret, demands->system_disk))
		r = refuse_system(ret, what, NULL, err);
	if (r == 0 && !ret->is_block)
		r = refuse_attached(ret, what, err);
	if (r == 0)
		r = open_alone(ret, what, err);
	if (r == 0)
		r = lock(ret, what, err);
	return r < 0 ? r : measure(ret, demands->sector, what, err);
}

void ul_device_close(struct ul_device *device)
{
	ul_cleanup_close(&device->fd);
	device->fd = -1;
}

bool ul_device_is(const struct ul_device *device, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && ul_disk_is_same(&st, &device->st);
}

/* ---- writing ---- */

/* A stretch that goes on where the last one ended is handed to the disk when it is long enough. */
static int pace(struct ul_device *d, uint64_t offset, size_t len)
{
	const unsigned int wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	if (offset != d->begin + d->len) {
		d->begin = offset;
		d->len = 0;
	}
	d->len += len;
	if (d->len < WINDOW)
		return 0;
	if (sync_file_range(d->fd, (off_t)d->begin, (off_t)d->len, SYNC_FILE_RANGE_WRITE) < 0 ||
	    (d->before_len && sync_file_range(d->fd, (off_t)d->before, (off_t)d->before_len, wait) < 0))
		return -errno;
	d->before = d->begin;
	d->before_len = d->len;
	d->begin += d->len;
	d->len = 0;
	return 0;
}

/* A disk that cannot do that, and reads zeros afterwards, says so at once. */
static bool give_back(const struct ul_device *d, uint64_t offset, size_t len)
{
	return fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0;
}

int ul_device_put(void *device, const uint8_t *bytes, size_t len, uint64_t offset)
{
	struct ul_device *d = device;
	int r;

	if (ul_all_zero(bytes, len) && give_back(d, offset, len))
		return 0;
	r = ul_pwrite_full(d->fd, bytes, len, offset);
	return r < 0 ? r : pace(d, offset, len);
}

int ul_device_zero(struct ul_device *device, uint64_t offset, uint64_t len)
{
	ul_autofree uint8_t *zeros = calloc(1, ZEROS);
	int r = zeros ? 0 : -ENOMEM;

	for (uint64_t done = 0, n; r == 0 && done < len; done += n) {
		n = len - done < ZEROS ? len - done : ZEROS;
		r = ul_device_put(device, zeros, (size_t)n, offset + done);
	}
	return r;
}

int ul_device_sync(struct ul_device *device)
{
	return fsync(device->fd) < 0 ? -errno : 0;
}

int ul_device_forget(struct ul_device *device)
{
	/* Root alone may say this; others, who were given the device, give advice. */
	if (device->is_block && ioctl(device->fd, BLKFLSBUF, 0) == 0)
		return 0;
	if (device->is_block && errno != EACCES && errno != EPERM)
		return -errno;
	return -posix_fadvise(device->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int ul_device_reread(struct ul_device *device)
{
	if (!device->is_block || ioctl(device->fd, BLKRRPART, 0) == 0)
		return 0;
	return errno == EINVAL || errno == ENOTTY ? 0 : -errno;
}
