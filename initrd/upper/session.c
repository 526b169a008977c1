/*
 * The layers of the upper. Join: before, the filesystem is checked and laid out; after, sessions/ is empty, and what
 * earlier boots built is in kept/. New session: a directory made in this boot is ready to be the overlay's upper.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/layers/session.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

/* The store of a lower, sealed; or -errno. */
static int open_store(const struct ul_boot *b, const struct ul_lower *lower)
{
	char path[PATH_MAX];
	int fd = open(ul_lower_path(b, lower, lower->store, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int refuse_store(const struct ul_lower *lower, int error, struct ul_error *err)
{
	return ul_error_errno(err, error == EIO ? UL_E_CORRUPT : UL_E_FILESYSTEM, "opening the sealed store",
			      lower->store, NULL, error);
}

static void close_stores(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/*
 * What the join threw away is free at this boot: a path that was built anew, what optimising copied. The machine does
 * not need it done now.
 */
static void empty_trash(const struct ul_boot *b)
{
	struct ul_trash trash = {.fd = -1};
	bool empty;

	if (ul_trash_open(b->upper.fd, UL_TRASH, &trash) < 0)
		return;
	(void)ul_trash_empty(&trash, UL_TRASH_AT_A_BOOT, &empty);
	ul_trash_close(&trash);
}

int ul_upper_join(struct ul_boot *b, struct ul_error *err)
{
	struct ul_join_report *report = &b->upper.joined;
	int sealed[UL_BOOT_LOWERS], r = 0;
	struct ul_join join = {.upper_fd = b->upper.fd, .sealed = sealed};

	for (size_t i = 0; r == 0 && i < b->n_lowers; i++) {
		int fd = open_store(b, &b->lowers[i]);

		if (fd < 0)
			r = refuse_store(&b->lowers[i], -fd, err);
		else
			sealed[join.n_sealed++] = fd;
	}
	if (r == 0)
		r = ul_join_sessions(&join, report, err);
	close_stores(sealed, join.n_sealed);
	if (r == 0 && report->sessions > 0)
		empty_trash(b);
	if (report->sessions > 0)
		ul_log(report->joined || report->removed ? UL_LOG_INFO : UL_LOG_DEBUG,
		       "upper: joined %llu entries of the last session%s; %llu kept ones went",
		       (unsigned long long)report->joined, report->sessions == 1 ? "" : "s",
		       (unsigned long long)report->removed);
	if (report->deep > 0)
		ul_log(UL_LOG_WARNING,
		       "upper: %llu directories that lie deeper than any path, or are subvolumes, were thrown away",
		       (unsigned long long)report->deep);
	return r;
}

/*
 * The overlay shows mode and group of its upper, and Nix's builders want theirs. On a full disk the reserve helps; not
 * behind copies that were made because of what this disk may be: then nothing more may be freed (anew.c).
 */
static int make_session(struct ul_boot *b, const struct stat *store, struct ul_error *err)
{
	char name[UL_SESSION_NAME_MAX];
	int r, round = 0;

	do
		r = ul_session_make(b->upper.fd, (store->st_mode & 07777) | 0700, store->st_gid, name, err);
	while (r == -UL_E_UPPER && b->upper.guarded != UL_GUARDED_ANEW && round++ < UL_RESERVE_ROUNDS &&
	       ul_reserve_help(b->upper.fd, err->errnum));
	if (r == 0)
		snprintf(b->upper.session, sizeof(b->upper.session), UL_SESSIONS "/%s", name);
	return r;
}

int ul_upper_new_session(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	struct stat st;
	int fd, r;

	if (*b->upper.session)
		return 0;
	/* What is still to be written of older files may lie where a new directory's block is taken. */
	if (b->upper.persistent && syncfs(b->upper.fd) < 0)
		return ul_error_errno(err, UL_E_UPPER, "writing the upper to its disk", UL_PATH_UPPER, NULL, errno);
	if (b->upper.guarded == UL_GUARDED_ANEW) {
		r = ul_upper_make_anew(b, err);
		if (r < 0)
			return r;
	}
	fd = open_store(b, lower);
	if (fd < 0)
		return refuse_store(lower, -fd, err);
	r = fstat(fd, &st) < 0 ? refuse_store(lower, errno, err) : 0;
	close(fd);
	return r < 0 ? r : make_session(b, &st, err);
}
