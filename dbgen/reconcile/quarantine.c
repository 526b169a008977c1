/*
 * quarantine/: what was moved out of the way, and how it is emptied.
 *
 * Each run that moves something makes one directory, quarantine/NNNNNNNN-STAMP: a number that grows, because clocks of
 * devices start anew, and the time for people. What is moved keeps its name, "-N" behind it where the run has that
 * name already. Moving is one rename, whatever hangs below.
 *
 * quarantine/NNNNNNNN-STAMP-superseded is a run of its own for what the machine built and an image seals
 * (supersede.c): on the way back to an image that does not, it is the machine's again (restore.c). So it is the last
 * that goes. The limit of size is not for it: a trial would cost what it supersedes at its second boot. Nor does a disk
 * that is merely nearly full; only a boot that finds no room at all without it empties it. Its age counts as that of
 * other runs.
 *
 * A run whose time has come is renamed into the trash (dbgen/layers/trash.h), which a boot does not wait for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/clock.h"
#include "common/number.h"
#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/reconcile/quarantine.h"

#define QUARANTINE    "quarantine"
#define SUPERSEDED    "-superseded" /* ends the name of such a run */
#define NUMBER_DIGITS 8
#define TRIES         100   /* names that are tried where one is taken */
#define MAX_COUNTED   50000 /* files that are looked at for the quarantine's size */
#define MAX_DEPTH     64    /* of directories, for the size */
#define LOW_SPACE     20    /* less than a 20th of the filesystem is free: what nobody wants back goes */

/* ---- moving ---- */

/* Rename to the first name that is free: to, to-1, to-2, ... 0 or -errno. */
static int move(int dirfd, const char *name, int to_fd, const char *to)
{
	char target[NAME_MAX + 1];
	int r = -EEXIST;

	snprintf(target, sizeof(target), "%s", to);
	for (unsigned int i = 1; r == -EEXIST && i <= TRIES; i++) {
		r = ul_layer_rename(dirfd, name, to_fd, target);
		snprintf(target, sizeof(target), "%.240s-%u", to, i);
	}
	return r;
}

/* ---- this run's directory ---- */

static bool is_run(const char *name)
{
	return strspn(name, "0123456789") == NUMBER_DIGITS && name[NUMBER_DIGITS] == '-';
}

/* "00000007-..." is run 7; 0: not a run. */
static uint64_t run_number(const char *name)
{
	uint64_t n;

	return is_run(name) && ul_parse_digits(name, NUMBER_DIGITS, &n) ? n : 0;
}

/* The greatest number of a run. Where not all can be listed, none: a number too low would make this run the oldest. */
static int last_number(int fd, uint64_t *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	uint64_t last = 0;
	int r = ul_dir_open(fd, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		uint64_t n = run_number(entry->d_name);

		if (n > last)
			last = n;
	}
	*ret = last;
	return r;
}

/* A subvolume of its own takes no entry by a rename, and gives none back. 0 or errno. */
static int look_into(struct ul_upper_dir *u)
{
	int fd = openat(u->fd, QUARANTINE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, root;

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0 || fstat(u->fd, &root) < 0 || st.st_dev != root.st_dev) {
		close(fd);
		return EXDEV;
	}
	u->quarantine.fd = fd;
	return 0;
}

static int open_quarantine(struct ul_upper_dir *u, bool create)
{
	for (int i = 0; u->quarantine.fd < 0 && i < 3; i++) {
		int error = look_into(u), r;

		if (error == 0 || (error == ENOENT && !create))
			return 0;
		if (error == ENOENT) {
			if (mkdirat(u->fd, QUARANTINE, 0700) < 0 && errno != EEXIST)
				return ul_upper_dir_fail(u, QUARANTINE, errno);
			continue;
		}
		if ((error != ENOTDIR && error != ELOOP && error != EXDEV) || u->dry_run)
			return u->dry_run ? 0 : ul_upper_dir_fail(u, QUARANTINE, error);
		r = move(u->fd, QUARANTINE, u->fd, QUARANTINE ".bad-0");
		if (r < 0 && !create)
			return 0;
		if (r < 0)
			return ul_upper_dir_fail(u, QUARANTINE, -r);
	}
	return u->quarantine.fd < 0 && create ? ul_upper_dir_fail(u, QUARANTINE, ENOTDIR) : 0;
}

/* superseded: the other one of this boot's two. */
static int open_run(struct ul_upper_dir *u, bool superseded)
{
	struct ul_quarantine_run *run = &u->quarantine.runs[superseded];
	time_t now = time(NULL);
	struct tm tm;
	int r = open_quarantine(u, true), fd = u->quarantine.fd;
	char stamp[32] = "";
	uint64_t last;

	if (r < 0 || run->fd >= 0)
		return r;
	r = last_number(u->quarantine.fd, &last);
	if (r < 0)
		return ul_upper_dir_fail(u, QUARANTINE, -r);
	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(run->name, sizeof(run->name), "%0*" PRIu64 "-%s%s", NUMBER_DIGITS, (last + 1) % 100000000, stamp,
		 superseded ? SUPERSEDED : "");
	if (mkdirat(fd, run->name, 0700) < 0 && (!ul_take_flags_off(fd, ".") || mkdirat(fd, run->name, 0700) < 0))
		return ul_upper_dir_fail(u, run->name, errno);
	run->fd = openat(fd, run->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return run->fd < 0 ? ul_upper_dir_fail(u, run->name, errno) : 0;
}

static int move_into(struct ul_upper_dir *u, bool superseded, int dirfd, const char *name)
{
	int r;

	if (u->dry_run)
		return 0;
	r = open_run(u, superseded);
	if (r < 0)
		return r;
	r = move(dirfd, name, u->quarantine.runs[superseded].fd, name);
	/* It is one of very many that have the same name. */
	if (r == -EEXIST)
		return ul_upper_dir_discard(u, dirfd, name);
	return r < 0 && r != -ENOENT ? ul_upper_dir_fail(u, name, -r) : 0;
}

int ul_quarantine_move(struct ul_upper_dir *u, int dirfd, const char *name)
{
	return move_into(u, false, dirfd, name);
}

int ul_quarantine_supersede(struct ul_upper_dir *u, int dirfd, const char *name)
{
	return move_into(u, true, dirfd, name);
}

int ul_quarantine_open_superseded(struct ul_upper_dir *u, int *ret_fd)
{
	int r = open_run(u, true);

	if (r == 0)
		*ret_fd = u->quarantine.runs[true].fd;
	return r;
}

/* ---- how much it holds ---- */

/* Bytes below a directory; UINT64_MAX where there is too much to count, or it cannot be read: that is not nothing. */
static uint64_t count_bytes(int fd, const char *name, unsigned int depth, unsigned int *left)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	uint64_t sum = 0;
	int r = ul_dir_open(fd, name, &dir);

	while (r >= 0 && sum != UINT64_MAX && (r = ul_dir_next(dir, &entry)) > 0) {
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
	return r < 0 ? UINT64_MAX : sum;
}

/* ---- emptying ---- */

static bool is_superseded(const char *name)
{
	size_t len = strlen(name), end = strlen(SUPERSEDED);

	return is_run(name) && len > end && !strcmp(name + len - end, SUPERSEDED);
}

/* Those of earlier boots, oldest first, of either kind. */
struct runs {
	struct ul_names of[2]; /* [true]: of what was superseded */
};

static void free_runs(struct runs *runs)
{
	ul_names_free(&runs->of[0]);
	ul_names_free(&runs->of[1]);
}

static bool is_ours(const struct ul_upper_dir *u, const char *name)
{
	return !strcmp(name, u->quarantine.runs[0].name) || !strcmp(name, u->quarantine.runs[1].name);
}

/* Throw away what may stay, too: a subvolume, say, which no rename moves out of the quarantine. */
static int discard(struct ul_upper_dir *u, const char *name)
{
	int r = ul_upper_dir_discard(u, u->quarantine.fd, name);

	if (r != -UL_E_UPPER || ul_errno_is_full(u->err->errnum))
		return r;
	return ul_upper_dir_report(u, UL_RECONCILE_NOTE, name, "it cannot be thrown away: %s", u->err->why);
}

/* Anything that is not a run goes to the trash, where nothing is waited for. */
static int list_runs(struct ul_upper_dir *u, struct runs *runs)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(u->quarantine.fd, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		int moved = 0;

		if (is_ours(u, entry->d_name))
			continue;
		if (is_run(entry->d_name))
			r = ul_names_add(&runs->of[is_superseded(entry->d_name)], entry->d_name);
		else
			moved = discard(u, entry->d_name);
		if (moved < 0)
			return moved;
	}
	ul_names_sort(&runs->of[0], false);
	ul_names_sort(&runs->of[1], false);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(u);
	return r == -UL_E_UPPER || r == 0 ? r : ul_upper_dir_fail(u, QUARANTINE, -r);
}

int ul_quarantine_list_superseded(struct ul_upper_dir *u, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = open_quarantine(u, false);

	if (r < 0 || u->quarantine.fd < 0)
		return r;
	r = ul_dir_open(u->quarantine.fd, ".", &dir);
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		if (is_superseded(entry->d_name))
			r = ul_names_add(ret, entry->d_name);
	ul_names_sort(ret, false);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(u);
	return r < 0 ? ul_upper_dir_fail(u, QUARANTINE, -r) : 0;
}

int ul_quarantine_open_run(const struct ul_upper_dir *u, const char *run)
{
	int fd = openat(u->quarantine.fd, run, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int ul_quarantine_take_back(struct ul_upper_dir *u, int run_fd, const char *entry, int to_fd, const char *name)
{
	int r = ul_layer_rename(run_fd, entry, to_fd, name);

	return r < 0 ? ul_upper_dir_fail(u, name, -r) : 0;
}

void ul_quarantine_remove_run(struct ul_upper_dir *u, const char *run)
{
	if (unlinkat(u->quarantine.fd, run, AT_REMOVEDIR) == 0 && !strcmp(run, u->quarantine.runs[true].name)) {
		ul_cleanup_close(&u->quarantine.runs[true].fd);
		u->quarantine.runs[true] = (struct ul_quarantine_run){.fd = -1};
	}
}

/*
 * From the oldest on, how many runs are older than the limit; the last of them is known to be. A clock of 1970 must not
 * age what it stamped by half a century: a stamp before this program was written, before an earlier run's, or yet to
 * come tells nothing. A run of unknown age goes with a later one.
 */
static size_t count_old(const struct ul_upper_dir *u, const struct ul_quarantine_limits *limits,
			const struct ul_names *runs)
{
	int64_t latest = UL_CLOCK_PLAUSIBLE;
	size_t old = 0;

	for (size_t i = 0; limits->age > 0 && i < runs->n; i++) {
		struct stat st;

		if (fstatat(u->quarantine.fd, runs->at[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtime < latest ||
		    st.st_mtime > limits->now)
			continue;
		latest = st.st_mtime;
		if ((uint64_t)(limits->now - latest) > limits->age)
			old = i + 1;
	}
	return old;
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
	size_t old = count_old(u, limits, runs);

	for (size_t i = runs->n; limits->size > 0 && i > old; i--)
		if (__builtin_add_overflow(sum, size_of(u, runs->at[i - 1]), &sum) || sum > limits->size)
			return i;
	return old;
}

static int discard_runs(struct ul_upper_dir *u, const struct ul_names *runs, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = discard(u, runs->at[i]);
		u->report->emptied += r == 0;
	}
	return r;
}

int ul_quarantine_empty(struct ul_upper_dir *u, const struct ul_quarantine_limits *limits)
{
	UL_CLEANUP(free_runs) struct runs runs = {0};
	size_t gone[2];
	int r;

	if (u->dry_run)
		return 0;
	r = open_quarantine(u, false);
	if (r < 0 || u->quarantine.fd < 0)
		return r;
	r = list_runs(u, &runs);
	if (r < 0)
		return r;
	gone[1] = limits->extent == UL_QUARANTINE_ALL ? runs.of[1].n : count_old(u, limits, &runs.of[1]);
	gone[0] = limits->extent != UL_QUARANTINE_LIMITS || space_is_low(u) ? runs.of[0].n
									    : count_too_many(u, limits, &runs.of[0]);
	r = discard_runs(u, &runs.of[0], gone[0]);
	return r < 0 ? r : discard_runs(u, &runs.of[1], gone[1]);
}
