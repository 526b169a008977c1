#include "verity/disk/disk_use.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/mountinfo.h"
#include "common/number.h"
#include "common/paths.h"

#define TEXT_MAX  (64 << 20) /* bytes of a table of mounts */
#define DEPTH_MAX 8          /* of devices that are made of each other */

/* What is told where there are several. */
enum rank { NOBODY, HOLDER, SWAP, MOUNT, SYSTEM };

struct search {
	const char *sysfs;
	struct ul_buffer mounts, swaps; /* the kernel's tables */
	enum rank rank;
	struct ul_disk_use found;
};

static void offer(struct search *s, enum rank rank, const char *subject, const char *verb, const char *object)
{
	if (rank <= s->rank)
		return;
	s->rank = rank;
	s->found.by_system = rank == SYSTEM;
	snprintf(s->found.how, sizeof(s->found.how), "%.150s %s%.80s", subject, verb, object);
}

/* Where what is mounted is the system itself, or its sealed store. */
static bool is_system(const char *point)
{
	static const char *const points[] = {"/",           "/usr",        "/nix",       UL_PATH_STORE,
					     UL_PATH_LOWER, UL_PATH_UPPER, UL_PATH_HOST, UL_PATH_VAR};

	for (size_t i = 0; i < UL_ARRAY_SIZE(points); i++)
		if (!strcmp(point, points[i]))
			return true;
	return false;
}

static bool is_node_of(char *path, dev_t device)
{
	struct stat st;

	ul_mountinfo_unescape(path);
	return *path == '/' && stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

static bool parse_device(const char *text, dev_t *ret)
{
	uint64_t a, b;

	if (!ul_take_number(&text, &a) || *text++ != ':' || !ul_take_number(&text, &b))
		return false;
	*ret = makedev((unsigned int)a, (unsigned int)b);
	return true;
}

/*
 * "36 35 98:0 /root /mount/point options optional... - type source options". A btrfs has a number of its own there:
 * its source tells. The line is taken apart.
 */
static void look_at_mount(struct search *s, char *line, dev_t device, const char *subject)
{
	char *tail = strstr(line, " - "), *field[5], *source;
	dev_t number;

	if (!tail)
		return;
	*tail = '\0';
	tail += 3;
	for (size_t i = 0; i < UL_ARRAY_SIZE(field); i++)
		field[i] = strsep(&line, " ");
	(void)strsep(&tail, " "); /* the type */
	source = strsep(&tail, " ");
	if (!field[4] || !source)
		return;
	if ((!parse_device(field[2], &number) || number != device) && !is_node_of(source, device))
		return;
	ul_mountinfo_unescape(field[4]);
	offer(s, is_system(field[4]) ? SYSTEM : MOUNT, subject, "is mounted at ", field[4]);
}

static void look_at_swap(struct search *s, char *line, dev_t device, const char *subject)
{
	char *path = strsep(&line, " \t");

	if (path && is_node_of(path, device))
		offer(s, SWAP, subject, "is swap space", "");
}

/* Each line of a table, in a copy. 0 or -ENOMEM. */
static int each_line(struct search *s, const struct ul_buffer *table, dev_t device, const char *subject,
		     void (*fn)(struct search *s, char *line, dev_t device, const char *subject))
{
	ul_autofree char *copy = strndup(table->data ? (const char *)table->data : "", table->len);
	char *rest = copy, *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n")))
		fn(s, line, device, subject);
	return 0;
}

static bool read_device(int dirfd, const char *entry, dev_t *ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	char path[NAME_MAX + 8];

	snprintf(path, sizeof(path), "%s/dev", entry);
	return ul_read_file(dirfd, path, 4096, &text) == 0 && ul_buffer_string(&text) &&
	       parse_device((const char *)text.data, ret);
}

/* "dm-0 (its name)", "md0" */
static void name_holder(int dirfd, const char *entry, char ret[NAME_MAX + 80])
{
	ul_autobuffer struct ul_buffer text = {0};
	char path[NAME_MAX + 16];
	const char *name = NULL;

	snprintf(path, sizeof(path), "%s/dm/name", entry);
	if (ul_read_file(dirfd, path, 4096, &text) == 0)
		name = ul_buffer_string(&text);
	if (name)
		snprintf(ret, NAME_MAX + 80, "%s (%.*s)", entry, (int)strcspn(name, "\n"), name);
	else
		snprintf(ret, NAME_MAX + 80, "%s", entry);
}

static int look_at(struct search *s, dev_t device, const char *subject, unsigned int depth);

static int look_at_holders(struct search *s, dev_t device, const char *subject, unsigned int depth)
{
	char path[PATH_MAX], name[NAME_MAX + 80], next[512];
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	dev_t holder;
	int r;

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/holders", s->sysfs, major(device), minor(device));
	r = ul_dir_open(AT_FDCWD, path, &dir);
	if (r == -ENOENT)
		return 0;
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		name_holder(dirfd(dir), entry->d_name, name);
		offer(s, HOLDER, subject, "is held by ", name);
		snprintf(next, sizeof(next), "%s is held by %s, which", subject, name);
		if (depth < DEPTH_MAX && read_device(dirfd(dir), entry->d_name, &holder))
			r = look_at(s, holder, next, depth + 1);
	}
	return r;
}

static int look_at(struct search *s, dev_t device, const char *subject, unsigned int depth)
{
	int r = each_line(s, &s->mounts, device, subject, look_at_mount);

	if (r == 0)
		r = each_line(s, &s->swaps, device, subject, look_at_swap);
	return r < 0 ? r : look_at_holders(s, device, subject, depth);
}

static int look_at_partitions(struct search *s, dev_t disk)
{
	char path[PATH_MAX], subject[NAME_MAX + 32];
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	dev_t device;
	int r, fd;

	/* A symlink leads to the disk's directory. */
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", s->sysfs, major(disk), minor(disk));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = ul_dir_of(fd, &dir);
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		snprintf(path, sizeof(path), "%s/partition", entry->d_name);
		if (faccessat(dirfd(dir), path, F_OK, 0) < 0 || !read_device(dirfd(dir), entry->d_name, &device))
			continue;
		snprintf(subject, sizeof(subject), "its partition %s", entry->d_name);
		r = look_at(s, device, subject, 0);
	}
	return r;
}

static int read_table(const char *proc, const char *name, struct ul_buffer *ret)
{
	ul_autofree char *path = ul_path_join(proc, name);

	return path ? ul_read_file(AT_FDCWD, path, TEXT_MAX, ret) : -ENOMEM;
}

int ul_disk_find_use(const char *sysfs, const char *proc, dev_t disk, struct ul_disk_use *ret)
{
	struct search s = {.sysfs = sysfs, .rank = NOBODY};
	int r = read_table(proc, "self/mountinfo", &s.mounts);

	/* A kernel without swap has no such file. */
	if (r == 0)
		r = read_table(proc, "swaps", &s.swaps);
	if (r == 0 || r == -ENOENT)
		r = look_at(&s, disk, "it", 0);
	if (r == 0)
		r = look_at_partitions(&s, disk);
	ul_buffer_free(&s.mounts);
	ul_buffer_free(&s.swaps);
	if (r < 0 || s.rank == NOBODY)
		return r;
	*ret = s.found;
	return 1;
}

int ul_disk_file_find_use(const char *sysfs, const struct stat *file, struct ul_disk_use *ret)
{
	ul_autofree char *blocks = ul_path_join(sysfs, "block");
	char path[NAME_MAX + 32];
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	struct stat st;
	int r = blocks ? ul_dir_open(AT_FDCWD, blocks, &dir) : -ENOMEM;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		ul_autobuffer struct ul_buffer text = {0};
		char *backing;

		snprintf(path, sizeof(path), "%s/loop/backing_file", entry->d_name);
		if (ul_read_file(dirfd(dir), path, PATH_MAX, &text) < 0)
			continue;
		backing = ul_buffer_string(&text);
		if (!backing)
			return -ENOMEM;
		backing[strcspn(backing, "\n")] = '\0';
		if (stat(backing, &st) < 0 || st.st_dev != file->st_dev || st.st_ino != file->st_ino)
			continue;
		*ret = (struct ul_disk_use){.by_system = false};
		snprintf(ret->how, sizeof(ret->how), "the loop device %.100s is attached to it", entry->d_name);
		return 1;
	}
	return r;
}
