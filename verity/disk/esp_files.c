#include "verity/disk/esp_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/number.h"
#include "verity/disk/copy_range.h"
#include "verity/disk/mtools.h"
#include "verity/open/partition_device.h"

static const char WHAT[] = "changing the EFI system partition";

/* While a file is copied. No boot loader takes it for one: the name does not end in ".efi". */
#define TEMPORARY "underlay.new"

/* ---- mounted ---- */

static int mount_it(const char *device, int *ret_root)
{
	ul_autoclose int fs = fsopen("vfat", FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return -errno;
	*ret_root = mnt;
	return 0;
}

int ul_esp_files_open(const char *disk, const struct ul_partition *esp, struct ul_esp_files *ret, struct ul_error *err)
{
	ul_autofree char *device = NULL;
	struct stat st;
	int r;

	*ret = (struct ul_esp_files){.disk = disk, .offset = esp->offset, .root = -1};
	if (stat(disk, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, disk, NULL, errno);
	if (!S_ISBLK(st.st_mode) || ul_partition_device("/sys", "/dev", st.st_rdev, esp, &device, err) < 0)
		return 0;
	r = mount_it(device, &ret->root);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, device, "Mounting it wants root, and the driver vfat.",
				      -r)
		     : 0;
}

void ul_esp_files_close(struct ul_esp_files *esp)
{
	ul_cleanup_close(&esp->root);
	esp->root = -1;
}

static int list_mounted(struct ul_esp_files *esp, const char *dir, struct ul_esp_entries *ret, uint64_t *ret_room)
{
	ul_autodir DIR *d = NULL;
	struct dirent *entry;
	struct statvfs fs;
	int r;

	if (fstatvfs(esp->root, &fs) < 0)
		return -errno;
	*ret_room = (uint64_t)fs.f_bavail * fs.f_frsize;
	r = ul_dir_open(esp->root, dir, &d);
	if (r == -ENOENT)
		return 0;
	while (r >= 0 && (r = ul_dir_next(d, &entry)) > 0) {
		struct ul_esp_entry e = {.size = 0};
		struct stat st;

		if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISREG(st.st_mode) || strlen(entry->d_name) >= sizeof(e.name))
			continue;
		memcpy(e.name, entry->d_name, strlen(entry->d_name) + 1);
		e.size = (uint64_t)st.st_size;
		r = ul_vector_push(ret, e);
	}
	return r;
}

static int put_piece(void *user, const uint8_t *bytes, size_t len, uint64_t done)
{
	return ul_pwrite_full(*(const int *)user, bytes, len, done);
}

static int put_mounted(struct ul_esp_files *esp, const char *source, const char *dir, const char *name)
{
	ul_autoclose int from = open(source, O_RDONLY | O_CLOEXEC), to = -1;
	ul_autoclose int at = openat(esp->root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t size;
	int r = from < 0 || at < 0 ? -errno : ul_file_size(from, &size);

	if (r < 0)
		return r;
	to = openat(at, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (to < 0)
		return -errno;
	r = ul_copy_range(&(struct ul_copy_range){
		.from = from, .size = size, .step = "writing the UKI", .piece = put_piece, .user = &to});
	if (r == 0 && fsync(to) < 0)
		r = -errno;
	if (r == 0 && renameat(at, TEMPORARY, at, name) < 0)
		r = -errno;
	/* vfat has no journal: what stands in the directory has to be on the disk before anything else changes. */
	if (r == 0 && syncfs(at) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(at, TEMPORARY, 0);
	return r;
}

/* ---- by mtools ---- */

/* The number that mdir prints in groups of three digits: "49 955 328 bytes free". */
static uint64_t room_of(const char *line)
{
	char digits[32];
	size_t n = 0;
	uint64_t room = 0;

	for (const char *c = line; *c && n < sizeof(digits); c++)
		if (*c >= '0' && *c <= '9')
			digits[n++] = *c;
	return ul_parse_digits(digits, n, &room) ? room : 0;
}

/*
 * A line of mdir: "DEMO_1~1 EFI  15817728 1980-01-01   0:00  demo_1.0+3.efi", which has columns up to the long name.
 * What has no long name is no UKI's.
 */
#define MDIR_SIZE 12
#define MDIR_NAME 42

static int take_line(const char *line, struct ul_esp_entries *ret, uint64_t *ret_room)
{
	struct ul_esp_entry e = {.size = 0};
	const char *at = line + MDIR_SIZE;

	if (strstr(line, " bytes free")) {
		*ret_room = room_of(line);
		return 0;
	}
	if (strlen(line) <= MDIR_NAME || strlen(line) - MDIR_NAME >= sizeof(e.name))
		return 0;
	at += strspn(at, " ");
	if (!ul_take_number(&at, &e.size))
		return 0;
	memcpy(e.name, line + MDIR_NAME, strlen(line) - MDIR_NAME + 1);
	return ul_vector_push(ret, e);
}

static int list_by_mtools(struct ul_esp_files *esp, const char *dir, struct ul_esp_entries *ret, uint64_t *ret_room,
			  struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	char inside[300], *line, *rest;
	int status, r;

	snprintf(inside, sizeof(inside), "::%s", dir);
	r = ul_mtool(&(struct ul_mtool){"mdir", esp->disk, esp->offset, {inside}}, WHAT, &text, &status, err);
	if (r == 0 && status != 0) /* it is not there; the root is */
		r = ul_mtool(&(struct ul_mtool){"mdir", esp->disk, esp->offset, {"::"}}, WHAT, &text, NULL, err);
	if (r < 0)
		return r;
	if (!ul_buffer_string(&text))
		return ul_error_nomem(err, WHAT);
	*ret_room = 0;
	rest = (char *)text.data;
	while ((line = strsep(&rest, "\n")))
		if (take_line(line, ret, ret_room) < 0)
			return ul_error_nomem(err, WHAT);
	return 0;
}

static int put_by_mtools(struct ul_esp_files *esp, const char *source, const char *dir, const char *name,
			 struct ul_error *err)
{
	ul_autofree char *from = realpath(source, NULL);
	char temporary[300], final[300];
	int r;

	if (!from)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, source, NULL, errno);
	snprintf(temporary, sizeof(temporary), "::%s/" TEMPORARY, dir);
	snprintf(final, sizeof(final), "::%s/%s", dir, name);
	r = ul_mtool(&(struct ul_mtool){"mcopy", esp->disk, esp->offset, {"-o", from, temporary}}, WHAT, NULL, NULL,
		     err);
	if (r == 0)
		r = ul_mtool(&(struct ul_mtool){"mren", esp->disk, esp->offset, {"-D", "o", temporary, final}}, WHAT,
			     NULL, NULL, err);
	return r;
}

/* ---- either way ---- */

int ul_esp_files_list(struct ul_esp_files *esp, const char *dir, struct ul_esp_entries *ret, uint64_t *ret_room,
		      struct ul_error *err)
{
	int r;

	if (esp->root < 0)
		return list_by_mtools(esp, dir, ret, ret_room, err);
	r = list_mounted(esp, dir, ret, ret_room);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, dir, NULL, -r) : 0;
}

int ul_esp_files_put(struct ul_esp_files *esp, const char *source, const char *dir, const char *name,
		     struct ul_error *err)
{
	int r;

	if (esp->root < 0)
		return put_by_mtools(esp, source, dir, name, err);
	r = put_mounted(esp, source, dir, name);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, source, NULL, -r) : 0;
}

static int remove_mounted(struct ul_esp_files *esp, const char *dir, const char *name)
{
	ul_autoclose int at = openat(esp->root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return at < 0 || unlinkat(at, name, 0) < 0 || syncfs(at) < 0 ? -errno : 0;
}

int ul_esp_files_remove(struct ul_esp_files *esp, const char *dir, const char *name, struct ul_error *err)
{
	char path[300];
	int r;

	snprintf(path, sizeof(path), "::%s/%s", dir, name);
	if (esp->root < 0)
		return ul_mtool(&(struct ul_mtool){"mdel", esp->disk, esp->offset, {path}}, WHAT, NULL, NULL, err);
	r = remove_mounted(esp, dir, name);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, path + 2, NULL, -r) : 0;
}

static int rename_mounted(struct ul_esp_files *esp, const char *dir, const char *from, const char *to)
{
	ul_autoclose int at = openat(esp->root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return at < 0 || renameat(at, from, at, to) < 0 || syncfs(at) < 0 ? -errno : 0;
}

int ul_esp_files_rename(struct ul_esp_files *esp, const char *dir, const char *from, const char *to,
			struct ul_error *err)
{
	char old[300], new[300];
	int r;

	snprintf(old, sizeof(old), "::%s/%s", dir, from);
	snprintf(new, sizeof(new), "::%s/%s", dir, to);
	if (esp->root < 0)
		return ul_mtool(&(struct ul_mtool){"mren", esp->disk, esp->offset, {"-D", "o", old, new}}, WHAT, NULL,
				NULL, err);
	r = rename_mounted(esp, dir, from, to);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, old + 2, NULL, -r) : 0;
}
