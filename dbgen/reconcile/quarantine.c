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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "dbgen/reconcile/internal.h"

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

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* A stream of its own over a directory that stays open. */
static DIR *list(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir && copy >= 0)
		close(copy);
	return dir;
}

static unsigned long last_number(int fd)
{
	DIR *dir = list(fd);
	unsigned long last = 0;
	struct dirent *entry;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		unsigned long n = is_run(entry->d_name) ? strtoul(entry->d_name, NULL, 10) : 0;

		if (n > last)
			last = n;
	}
	closedir(dir);
	return last;
}

static int open_quarantine(struct ul_rc *c, bool create)
{
	for (int i = 0; c->quarantine_fd < 0 && i < 3; i++) {
		int r;

		c->quarantine_fd = openat(c->o->upper_fd, QUARANTINE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (c->quarantine_fd >= 0 || (errno == ENOENT && !create))
			return 0;
		if (errno == ENOENT) {
			if (mkdirat(c->o->upper_fd, QUARANTINE, 0700) < 0 && errno != EEXIST)
				return ul_rc_fail_upper(c, QUARANTINE, errno);
			continue;
		}
		if ((errno != ENOTDIR && errno != ELOOP) || c->o->dry_run)
			return c->o->dry_run ? 0 : ul_rc_fail_upper(c, QUARANTINE, errno);
		r = move(c->o->upper_fd, QUARANTINE, c->o->upper_fd, QUARANTINE ".bad-0");
		if (r < 0)
			return ul_rc_fail_upper(c, QUARANTINE, -r);
	}
	return c->quarantine_fd < 0 && create ? ul_rc_fail_upper(c, QUARANTINE, ENOTDIR) : 0;
}

static int open_run(struct ul_rc *c)
{
	time_t now = time(NULL);
	struct tm tm;
	int r = open_quarantine(c, true);
	char stamp[32] = "";

	if (r < 0 || c->run_fd >= 0)
		return r;
	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(c->run_name, sizeof(c->run_name), "%0*lu-%s", NUMBER_DIGITS,
		 (last_number(c->quarantine_fd) + 1) % 100000000UL, stamp);
	if (mkdirat(c->quarantine_fd, c->run_name, 0700) < 0 &&
	    (!take_flags_off(c->quarantine_fd, ".") || mkdirat(c->quarantine_fd, c->run_name, 0700) < 0))
		return ul_rc_fail_upper(c, c->run_name, errno);
	c->run_fd = openat(c->quarantine_fd, c->run_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->run_fd < 0 ? ul_rc_fail_upper(c, c->run_name, errno) : 0;
}

int ul_rc_quarantine(struct ul_rc *c, int dirfd, const char *name)
{
	int r;

	if (c->o->dry_run)
		return 0;
	r = open_run(c);
	if (r < 0)
		return r;
	r = move(dirfd, name, c->run_fd, name);
	return r < 0 && r != -ENOENT ? ul_rc_fail_upper(c, name, -r) : 0;
}

int ul_rc_make_way(struct ul_rc *c, int dirfd, const char *name)
{
	char temporary[NAME_MAX + 1];
	const char *const names[] = {name, temporary};
	int r = 0;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(names); i++) {
		struct stat st;

		if (fstatat(dirfd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode))
			continue;
		r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, names[i], "it must be a file");
		if (r == 0)
			r = ul_rc_quarantine(c, dirfd, names[i]);
	}
	return r;
}

int ul_rc_open_dir(struct ul_rc *c, int dirfd, const char *name, int *ret_fd)
{
	int r;

	*ret_fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd >= 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTDIR && errno != ELOOP)
		return ul_rc_fail_upper(c, name, errno);
	r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, name, "it must be a directory");
	return r < 0 ? r : ul_rc_quarantine(c, dirfd, name);
}

/* ---- how much it holds ---- */

/* Bytes below a directory, at most; UINT64_MAX where there is too much to count. Takes fd. */
static uint64_t count_bytes(int fd, unsigned int depth, unsigned int *left)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	uint64_t sum = 0;

	if (!dir) {
		close(fd);
		return 0;
	}
	while (sum != UINT64_MAX && (entry = readdir(dir))) {
		struct stat st;
		uint64_t below = 0;
		int child;

		if (is_dot(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if ((*left)-- == 0 || depth == MAX_DEPTH) {
			*left = 0;
			sum = UINT64_MAX;
			break;
		}
		if (S_ISDIR(st.st_mode)) {
			child = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			below = child < 0 ? 0 : count_bytes(child, depth + 1, left);
		}
		if (below == UINT64_MAX || __builtin_add_overflow(sum, below + (uint64_t)st.st_blocks * 512, &sum))
			sum = UINT64_MAX;
	}
	closedir(dir);
	return sum;
}

/* ---- emptying ---- */

struct emptying {
	struct ul_rc *c;
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
	int fd = openat(e->trash_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	(void)take_flags_off(fd, ".");
	while (e->left > 0 && (entry = readdir(dir))) {
		if (is_dot(entry->d_name))
			continue;
		e->left--;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			continue;
		if (errno == EISDIR ||
		    (take_flags_off(fd, entry->d_name) && unlinkat(fd, entry->d_name, 0) < 0 && errno == EISDIR))
			move_to_trash(e, fd, entry->d_name);
	}
	closedir(dir);
	return unlinkat(e->trash_fd, name, AT_REMOVEDIR) == 0;
}

/* One look at all of the trash. true: something was removed, and another look may find more. */
static bool empty_once(struct emptying *e)
{
	DIR *dir = list(e->trash_fd);
	bool progress = false;
	struct dirent *entry;

	if (!dir)
		return false;
	while (e->left > 0 && (entry = readdir(dir))) {
		bool gone;

		if (is_dot(entry->d_name))
			continue;
		e->left--;
		gone = unlinkat(e->trash_fd, entry->d_name, 0) == 0;
		if (!gone && errno == EISDIR)
			progress |= flatten(e, entry->d_name);
		else
			progress |= gone || take_flags_off(e->trash_fd, entry->d_name);
	}
	closedir(dir);
	return progress;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The runs, oldest first; what is none goes to the trash, where nothing is waited for. */
static int list_runs(struct emptying *e, struct ul_buffer *runs)
{
	struct ul_rc *c = e->c;
	DIR *dir = list(c->quarantine_fd);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return ul_rc_fail_upper(c, QUARANTINE, errno);
	while (r == 0 && (entry = readdir(dir))) {
		char *name;

		if (is_dot(entry->d_name) || !strcmp(entry->d_name, TRASH) || !strcmp(entry->d_name, c->run_name))
			continue;
		if (!is_run(entry->d_name)) {
			move_to_trash(e, c->quarantine_fd, entry->d_name);
			continue;
		}
		name = strdup(entry->d_name);
		if (!name || ul_buffer_append(runs, &name, sizeof(name)) < 0) {
			free(name);
			r = ul_rc_nomem(c);
		}
	}
	closedir(dir);
	if (runs->len > 0)
		qsort(runs->data, runs->len / sizeof(char *), sizeof(char *), by_text);
	return r;
}

static bool is_old(const struct ul_rc *c, const char *name)
{
	struct stat st;

	return c->o->quarantine_age > 0 && fstatat(c->quarantine_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       time(NULL) > st.st_mtime && (uint64_t)(time(NULL) - st.st_mtime) > c->o->quarantine_age;
}

static bool space_is_low(const struct ul_rc *c)
{
	struct statvfs fs;

	return fstatvfs(c->o->upper_fd, &fs) == 0 && fs.f_bavail < fs.f_blocks / LOW_SPACE;
}

static uint64_t size_of(const struct ul_rc *c, const char *name)
{
	int fd = openat(c->quarantine_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	unsigned int left = MAX_COUNTED;

	return fd < 0 ? 0 : count_bytes(fd, 0, &left);
}

/* From the newest on, as much as may stay; what is older goes. */
static size_t count_too_many(const struct ul_rc *c, char *const *runs, size_t n)
{
	uint64_t sum = 0;

	if (c->desperate || space_is_low(c))
		return n;
	for (size_t i = n; i > 0; i--) {
		if (is_old(c, runs[i - 1]))
			return i;
		if (c->o->quarantine_size > 0 &&
		    (__builtin_add_overflow(sum, size_of(c, runs[i - 1]), &sum) || sum > c->o->quarantine_size))
			return i;
	}
	return 0;
}

/* *ret: -1 where there is no quarantine, or something else in its trash's place, which is then out of the way. */
static int open_trash(struct ul_rc *c, bool create, int *ret)
{
	int r = open_quarantine(c, create);

	*ret = -1;
	if (r < 0 || c->quarantine_fd < 0)
		return r;
	if (mkdirat(c->quarantine_fd, TRASH, 0700) < 0 && errno != EEXIST)
		return errno == ENOSPC ? 0 : ul_rc_fail_upper(c, TRASH, errno);
	*ret = openat(c->quarantine_fd, TRASH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret >= 0)
		return 0;
	r = move(c->quarantine_fd, TRASH, c->quarantine_fd, "no-trash");
	return r < 0 ? ul_rc_fail_upper(c, TRASH, -r) : 0;
}

int ul_rc_discard(struct ul_rc *c, int dirfd, const char *name)
{
	struct emptying e = {.c = c, .trash_fd = -1};
	int r = open_trash(c, true, &e.trash_fd);

	if (r < 0)
		return r;
	if (e.trash_fd < 0)
		return ul_rc_quarantine(c, dirfd, name);
	move_to_trash(&e, dirfd, name);
	close(e.trash_fd);
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? ul_rc_quarantine(c, dirfd, name) : 0;
}

int ul_rc_quarantine_empty(struct ul_rc *c)
{
	struct emptying e = {.c = c, .trash_fd = -1, .left = c->desperate ? UINT_MAX : MAX_REMOVED};
	ul_autobuffer struct ul_buffer runs = {0};
	size_t n, gone;
	int r;

	if (c->o->dry_run)
		return 0;
	r = open_quarantine(c, false);
	if (r == 0 && c->quarantine_fd >= 0)
		r = open_trash(c, true, &e.trash_fd);
	if (r < 0 || e.trash_fd < 0)
		return r;
	r = list_runs(&e, &runs);
	n = runs.len / sizeof(char *);
	gone = r == 0 ? count_too_many(c, (char *const *)(void *)runs.data, n) : 0;
	for (size_t i = 0; i < n; i++) {
		char *name = ((char **)(void *)runs.data)[i];

		if (i < gone) {
			move_to_trash(&e, c->quarantine_fd, name);
			c->report->emptied++;
		}
		free(name);
	}
	while (r == 0 && e.left > 0 && empty_once(&e))
		;
	(void)unlinkat(c->quarantine_fd, TRASH, AT_REMOVEDIR);
	close(e.trash_fd);
	return r;
}
