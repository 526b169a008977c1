/*
 * quarantine/: what was moved out of the way, and how it is emptied.
 *
 * Each run that moves something makes one directory, quarantine/NNNNNNNN-STAMP: a number that grows, because clocks of
 * devices start anew, and the time for people. What is moved keeps its name, "-N" behind it where the run has that
 * name already. Moving is one rename, whatever hangs below.
 *
 * Emptying never stalls a boot: a run whose time has come is renamed into quarantine/trash, and of the trash a bounded
 * number of files is removed at each boot. A directory in the trash is not descended into: what it holds is unlinked,
 * and the directories it holds are renamed up into the trash themselves, so that neither depth nor number of
 * open files follows what somebody made. Nothing is followed, and nothing outside quarantine/ is touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/config.h"
#include "common/dir.h"
#include "common/names.h"
#include "dbgen/reconcile/quarantine.h"

#define QUARANTINE    "quarantine"
#define TRASH         "trash"
#define NUMBER_DIGITS 8
#define TRIES         1000  /* names that are tried where one is taken */
#define MAX_REMOVED   10000 /* files in one run */
#define MAX_COUNTED   50000 /* files that are looked at for the quarantine's size */
#define MAX_DEPTH     64    /* of directories, for the size */
#define LOW_SPACE     20    /* less than a 20th of the filesystem is free: the oldest goes first */

/* ---- moving ---- */

/* Flags that keep even root from renaming: immutable, append only. true: some were taken off. */
static bool take_flags_off(int dirfd, const char *name)
{
	ul_autoclose int fd = -1;
	struct stat st;
	int flags = 0;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return false;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return false;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

/* Rename to the first name that is free: to, to-1, to-2, ... 0 or -errno. */
static int rename_free(int dirfd, const char *name, int to_fd, const char *to)
{
	char target[NAME_MAX + 1];

	snprintf(target, sizeof(target), "%s", to);
	for (unsigned int i = 1; i <= TRIES; i++) {
		if (renameat2(dirfd, name, to_fd, target, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		snprintf(target, sizeof(target), "%.240s-%u", to, i);
	}
	return -EEXIST;
}

static int move(int dirfd, const char *name, int to_fd, const char *to)
{
	int r = rename_free(dirfd, name, to_fd, to);
	bool again = false;

	if (r != -EPERM && r != -EACCES)
		return r;
	again |= take_flags_off(dirfd, name);
	again |= take_flags_off(dirfd, ".");
	again |= take_flags_off(to_fd, ".");
	return again ? rename_free(dirfd, name, to_fd, to) : r;
}

/* ---- this run's directory ---- */

static bool is_run(const char *name)
{
	return strspn(name, "0123456789") == NUMBER_DIGITS && name[NUMBER_DIGITS] == '-';
}

/* A stream of its own over a directory that stays open. NULL: it cannot be read. */
static DIR *list(int fd)
{
	DIR *dir = NULL;

	return ul_dir_open(fd, ".", &dir) < 0 ? NULL : dir;
}

/* "00000007-..." is run 7; 0: not a run. */
static uint64_t run_number(const char *name)
{
	char digits[NUMBER_DIGITS + 1] = "";
	uint64_t n = 0;

	if (is_run(name))
		memcpy(digits, name, NUMBER_DIGITS);
	return ul_parse_number(digits, &n) ? n : 0;
}

static uint64_t last_number(int fd)
{
	ul_autodir DIR *dir = list(fd);
	struct dirent *entry;
	uint64_t last = 0;

	while (dir && ul_dir_next(dir, &entry) > 0) {
		uint64_t n = run_number(entry->d_name);

		if (n > last)
			last = n;
	}
	return last;
}

static int open_quarantine(struct ul_upper_dir *u, bool create)
{
	for (int i = 0; u->quarantine.fd < 0 && i < 3; i++) {
		int r;

		u->quarantine.fd = openat(u->fd, QUARANTINE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (u->quarantine.fd >= 0 || (errno == ENOENT && !create))
			return 0;
		if (errno == ENOENT) {
			if (mkdirat(u->fd, QUARANTINE, 0700) < 0 && errno != EEXIST)
				return ul_upper_dir_fail(u, QUARANTINE, errno);
			continue;
		}
		if ((errno != ENOTDIR && errno != ELOOP) || u->dry_run)
			return u->dry_run ? 0 : ul_upper_dir_fail(u, QUARANTINE, errno);
		r = move(u->fd, QUARANTINE, u->fd, QUARANTINE ".bad-0");
		if (r < 0)
			return ul_upper_dir_fail(u, QUARANTINE, -r);
	}
	return u->quarantine.fd < 0 && create ? ul_upper_dir_fail(u, QUARANTINE, ENOTDIR) : 0;
}

static int open_run(struct ul_upper_dir *u)
{
	time_t now = time(NULL);
	struct tm tm;
	int r = open_quarantine(u, true);
	char stamp[32] = "";

	if (r < 0 || u->quarantine.run_fd >= 0)
		return r;
	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(u->quarantine.run_name, sizeof(u->quarantine.run_name), "%0*" PRIu64 "-%s", NUMBER_DIGITS,
		 (last_number(u->quarantine.fd) + 1) % 100000000, stamp);
	if (mkdirat(u->quarantine.fd, u->quarantine.run_name, 0700) < 0 &&
	    (!take_flags_off(u->quarantine.fd, ".") || mkdirat(u->quarantine.fd, u->quarantine.run_name, 0700) < 0))
		return ul_upper_dir_fail(u, u->quarantine.run_name, errno);
	u->quarantine.run_fd =
		openat(u->quarantine.fd, u->quarantine.run_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return u->quarantine.run_fd < 0 ? ul_upper_dir_fail(u, u->quarantine.run_name, errno) : 0;
}

int ul_quarantine_move(struct ul_upper_dir *u, int dirfd, const char *name)
{
	int r;

	if (u->dry_run)
		return 0;
	r = open_run(u);
	if (r < 0)
		return r;
	r = move(dirfd, name, u->quarantine.run_fd, name);
	return r < 0 && r != -ENOENT ? ul_upper_dir_fail(u, name, -r) : 0;
}

/* ---- how much it holds ---- */

/* Bytes below a directory; UINT64_MAX where there is too much to count. */
static uint64_t count_bytes(int fd, const char *name, unsigned int depth, unsigned int *left)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	uint64_t sum = 0;

	if (ul_dir_open(fd, name, &dir) < 0)
		return 0;
	while (sum != UINT64_MAX && ul_dir_next(dir, &entry) > 0) {
		struct stat st;
		uint64_t below = 0;

		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if ((*left)-- == 0 || depth == MAX_DEPTH) {
			*left = 0;
			return UINT64_MAX;
		}
		if (S_ISDIR(st.st_mode))
			below = count_bytes(dirfd(dir), entry->d_name, depth + 1, left);
		if (below == UINT64_MAX || __builtin_add_overflow(sum, below + (uint64_t)st.st_blocks * 512, &sum))
			sum = UINT64_MAX;
	}
	return sum;
}

/* ---- emptying ---- */

struct emptying {
	struct ul_upper_dir *u;
	int trash_fd;
	unsigned int left; /* files that may still be removed in this run */
	unsigned long next;
};

static void move_to_trash(struct emptying *e, int dirfd, const char *name)
{
	char target[32];

	do {
		snprintf(target, sizeof(target), "%lu", e->next++);
		if (renameat2(dirfd, name, e->trash_fd, target, RENAME_NOREPLACE) == 0)
			return;
	} while (errno == EEXIST);
	if (take_flags_off(dirfd, name) || take_flags_off(dirfd, "."))
		(void)renameat2(dirfd, name, e->trash_fd, target, RENAME_NOREPLACE);
}

/* A directory of the trash: its files go, its directories come up. false: something stays. */
static bool flatten(struct emptying *e, const char *name)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int fd;

	if (ul_dir_open(e->trash_fd, name, &dir) < 0)
		return false;
	fd = dirfd(dir);
	(void)take_flags_off(fd, ".");
	while (e->left > 0 && ul_dir_next(dir, &entry) > 0) {
		e->left--;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			continue;
		if (errno == EISDIR ||
		    (take_flags_off(fd, entry->d_name) && unlinkat(fd, entry->d_name, 0) < 0 && errno == EISDIR))
			move_to_trash(e, fd, entry->d_name);
	}
	return unlinkat(e->trash_fd, name, AT_REMOVEDIR) == 0;
}

/* One look at all of the trash. true: something was removed, and another look may find more. */
static bool empty_once(struct emptying *e)
{
	ul_autodir DIR *dir = list(e->trash_fd);
	bool progress = false;
	struct dirent *entry;

	while (dir && e->left > 0 && ul_dir_next(dir, &entry) > 0) {
		bool gone;

		e->left--;
		gone = unlinkat(e->trash_fd, entry->d_name, 0) == 0;
		if (!gone && errno == EISDIR)
			progress |= flatten(e, entry->d_name);
		else
			progress |= gone || take_flags_off(e->trash_fd, entry->d_name);
	}
	return progress;
}

/* The runs, oldest first; anything else goes to the trash, where nothing is waited for. */
static int list_runs(struct emptying *e, struct ul_names *runs)
{
	struct ul_upper_dir *u = e->u;
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(u->quarantine.fd, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		if (!strcmp(entry->d_name, TRASH) || !strcmp(entry->d_name, u->quarantine.run_name))
			continue;
		if (is_run(entry->d_name))
			r = ul_names_add(runs, entry->d_name);
		else
			move_to_trash(e, u->quarantine.fd, entry->d_name);
	}
	ul_names_sort(runs, false);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(u);
	return r < 0 ? ul_upper_dir_fail(u, QUARANTINE, -r) : 0;
}

static bool is_old(const struct ul_upper_dir *u, uint64_t age, const char *name)
{
	struct stat st;

	return age > 0 && fstatat(u->quarantine.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) > st.st_mtime &&
	       (uint64_t)(time(NULL) - st.st_mtime) > age;
}

static bool space_is_low(const struct ul_upper_dir *u)
{
	struct statvfs fs;

	return fstatvfs(u->fd, &fs) == 0 && fs.f_bavail < fs.f_blocks / LOW_SPACE;
}

static uint64_t size_of(const struct ul_upper_dir *u, const char *name)
{
	unsigned int left = MAX_COUNTED;

	return count_bytes(u->quarantine.fd, name, 0, &left);
}

/* From the newest on, as much as may stay; what is older goes. */
static size_t count_too_many(const struct ul_upper_dir *u, const struct ul_quarantine_limits *limits,
			     const struct ul_names *runs)
{
	uint64_t sum = 0;

	if (limits->all || space_is_low(u))
		return runs->n;
	for (size_t i = runs->n; i > 0; i--) {
		if (is_old(u, limits->age, runs->at[i - 1]))
			return i;
		if (limits->size > 0 &&
		    (__builtin_add_overflow(sum, size_of(u, runs->at[i - 1]), &sum) || sum > limits->size))
			return i;
	}
	return 0;
}

/* *ret: -1 where there is no quarantine, or something else in its trash's place, which is then out of the way. */
static int open_trash(struct ul_upper_dir *u, bool create, int *ret)
{
	int r = open_quarantine(u, create);

	*ret = -1;
	if (r < 0 || u->quarantine.fd < 0)
		return r;
	if (mkdirat(u->quarantine.fd, TRASH, 0700) < 0 && errno != EEXIST)
		return errno == ENOSPC ? 0 : ul_upper_dir_fail(u, TRASH, errno);
	*ret = openat(u->quarantine.fd, TRASH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret >= 0)
		return 0;
	r = move(u->quarantine.fd, TRASH, u->quarantine.fd, "no-trash");
	return r < 0 ? ul_upper_dir_fail(u, TRASH, -r) : 0;
}

int ul_quarantine_discard(struct ul_upper_dir *u, int dirfd, const char *name)
{
	struct emptying e = {.u = u, .trash_fd = -1};
	int r = open_trash(u, true, &e.trash_fd);

	if (r < 0)
		return r;
	if (e.trash_fd < 0)
		return ul_quarantine_move(u, dirfd, name);
	move_to_trash(&e, dirfd, name);
	close(e.trash_fd);
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? ul_quarantine_move(u, dirfd, name) : 0;
}

int ul_quarantine_empty(struct ul_upper_dir *u, const struct ul_quarantine_limits *limits)
{
	struct emptying e = {.u = u, .trash_fd = -1, .left = limits->all ? UINT_MAX : MAX_REMOVED};
	ul_autonames struct ul_names runs = {0};
	size_t gone;
	int r;

	if (u->dry_run)
		return 0;
	r = open_quarantine(u, false);
	if (r == 0 && u->quarantine.fd >= 0)
		r = open_trash(u, true, &e.trash_fd);
	if (r < 0 || e.trash_fd < 0)
		return r;
	r = list_runs(&e, &runs);
	gone = r == 0 ? count_too_many(u, limits, &runs) : 0;
	for (size_t i = 0; i < gone; i++) {
		move_to_trash(&e, u->quarantine.fd, runs.at[i]);
		u->report->emptied++;
	}
	while (r == 0 && e.left > 0 && empty_once(&e))
		;
	(void)unlinkat(u->quarantine.fd, TRASH, AT_REMOVEDIR);
	close(e.trash_fd);
	return r;
}
