/*
 * Making the upper's filesystem. Before: the device is empty, or our own mkfs was interrupted on it. After: the
 * filesystem is on the medium, and no marker. See initrd/upper/upper.h for what a cut in between leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/run.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"
#include "initrd/upper/marker.h"
#include "verity/format/image_layout.h"

static const char what[] = "preparing the upper";

/* A version 4 UUID (RFC 9562). */
static int make_uuid(char uuid[UL_UPPER_UUID])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return -errno;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	ul_uuid_format(b, uuid);
	return 0;
}

/* Write a sector where the marker stands, through to the medium. fs NULL: zeros. */
static int write_marker(int fd, uint64_t size, const struct ul_upper_fs *fs, const char *uuid)
{
	uint8_t bytes[UL_MARKER_SIZE] = {0};
	int r;

	if (fs) {
		memcpy(bytes, UL_MARKER_MAGIC, 16);
		ul_put_le32(bytes + 16, 1);
		snprintf((char *)bytes + 20, 16, "%s", fs->name);
		snprintf((char *)bytes + 36, 40, "%s", uuid);
	}
	r = ul_pwrite_full(fd, bytes, sizeof(bytes), ul_upper_marker_offset(size));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

/*
 * The superblock that is half or wholly there would make some mkfs doubt: mkfs.btrfs takes its UUID for another
 * device's. The marker still stands.
 */
static int blank_start(int fd)
{
	ul_autofree void *zeros = calloc(1, UL_UPPER_EDGE);
	int r = zeros ? ul_pwrite_full(fd, zeros, UL_UPPER_EDGE, 0) : -ENOMEM;

	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* What mkfs left must be what was asked for: else its marker stays, and the next boot makes it again. */
static int check_result(int fd, const char *device, const struct ul_upper_fs *fs, const char *uuid,
			struct ul_error *err)
{
	char *only[] = {(char *)fs->name, NULL};
	struct ul_policy quick = {.upper_filesystems = only};
	struct ul_upper_probe made;
	int r = ul_upper_probe(fd, device, &quick, &made, err);

	if (r < 0)
		return r;
	if (made.content != UL_UPPER_FILESYSTEM || strcmp(made.uuid, uuid) != 0)
		return ul_error_set(err, UL_E_UPPER, what, device, "Check the disk.",
				    "%s succeeded, but the %s that it should have made is not there", fs->mkfs,
				    fs->name);
	return 0;
}

static int run_mkfs(const char *device, const struct ul_policy *p, const struct ul_upper_fs *fs, const char *uuid,
		    uint64_t size, struct ul_error *err)
{
	const char *args[UL_UPPER_ARGS];
	char program[PATH_MAX], buf[96];
	struct ul_upper_mkfs mkfs = {program, device, p->upper_label, uuid, size};
	int r;

	if (!ul_find_program(fs->mkfs, program))
		return ul_error_set(err, UL_E_UPPER, what, fs->mkfs, "Build the initramfs with this policy.",
				    "the initramfs does not have the program");
	ul_upper_mkfs_args(fs, &mkfs, buf, args);
	ul_log(UL_LOG_INFO, "upper: making %s on %s, %.1f MB", fs->name, device, (double)size / 1e6);
	r = ul_run(args, what, NULL, NULL, err);
	if (r < 0 && err) {
		/* The device is what the reader knows; the program's words say the rest. */
		char why[sizeof(err->why)];

		snprintf(why, sizeof(why), "%s: %.250s", fs->mkfs, err->why);
		return ul_error_set(err, UL_E_UPPER, what, device, "Check the disk and its size.", "%s", why);
	}
	return r;
}

int ul_upper_format(int fd, const char *device, const struct ul_policy *p, const struct ul_upper_probe *found,
		    struct ul_error *err)
{
	const struct ul_upper_fs *fs = ul_upper_fs_permitted(p, 0);
	uint64_t room = ul_upper_marker_offset(found->size) - UL_UPPER_EDGE;
	uint64_t size = p->upper_size_bytes ? p->upper_size_bytes & ~(uint64_t)(UL_UPPER_EDGE - 1) : room;
	char uuid[UL_UPPER_UUID];
	int r;

	if (size > room)
		return ul_error_set(err, UL_E_UPPER, what, device, "Set a smaller [upper] size.",
				    "%" PRIu64 " bytes are wanted, it has room for %" PRIu64, size, room);
	/* Made again under the same UUID: the marker stands already, and fits what is half there. */
	snprintf(uuid, sizeof(uuid), "%s", found->uuid);
	if (found->content == UL_UPPER_HALF) {
		r = blank_start(fd);
	} else {
		r = make_uuid(uuid);
		if (r == 0)
			r = write_marker(fd, found->size, fs, uuid);
	}
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", -r);
	r = run_mkfs(device, p, fs, uuid, size, err);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", errno);
	r = check_result(fd, device, fs, uuid, err);
	if (r < 0)
		return r;
	r = write_marker(fd, found->size, NULL, NULL);
	return r < 0 ? ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", -r) : 0;
}
