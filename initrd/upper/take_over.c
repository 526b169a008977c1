/*
 * An upper of an Underlay before 0.2 had its store above the sealed one:
 *
 *     store/   upperdir of the overlay      becomes kept/, by one rename; or, where kept/ is there already because an
 *                                           older Underlay was started in between, a session that is joined first
 *     work/    its workdir                  is thrown away
 *
 * Nothing of either is looked at: what store/ has under a sealed name is never seen beneath the sealed layers.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/session.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

#define OLD_STORE      "store"
#define OLD_WORK       "work"
#define OLD_NUMBERS    100 /* sessions of that kind that wait to be joined */
#define RANDOM_NUMBERS 3

static const char what[] = "taking over the upper of an older Underlay";

static int fail(const char *name, int error, struct ul_error *err)
{
	char path[128];

	snprintf(path, sizeof(path), UL_PATH_UPPER "/%s", name);
	return ul_error_errno(err, UL_E_UPPER, what, path, ul_errno_is_full(error) ? "Make room on the upper." : NULL,
			      error);
}

/* A store that is a subvolume of btrfs can be renamed, and then nothing into or out of it. */
static int refuse_subvolume(int root, const struct stat *store, struct ul_error *err)
{
	struct stat st;

	if (fstat(root, &st) < 0)
		return fail("", errno, err);
	if (st.st_dev == store->st_dev)
		return 0;
	return ul_error_set(err, UL_E_UPPER, what, UL_PATH_UPPER "/" OLD_STORE,
			    "Make it a plain directory, and move into it what it holds.",
			    "it is a subvolume, into and out of which nothing can be renamed");
}

/* Open the session NAME, make it where it is not there. -EEXIST: something else, that nothing can be put into. */
static int open_session(int sessions, const char *name)
{
	ul_autoclose int fd = -1;
	struct stat above, st;

	if (mkdirat(sessions, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(sessions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? -EEXIST : -errno;
	if (fstat(sessions, &above) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (above.st_dev != st.st_dev)
		return -EEXIST;
	return ul_steal_fd(&fd);
}

/* 0 or -errno (-EEXIST: another session's name is wanted). */
static int put_into(int root, int sessions, const char *name)
{
	ul_autoclose int session = open_session(sessions, name);

	if (session < 0)
		return session;
	return ul_layer_rename(root, OLD_STORE, session, "up");
}

/*
 * The store as the upper layer of a session, the first to be joined. One that was not joined yet may lie there: the new
 * Underlay's image was refused, the old one started once more. Whoever wrote the disk may have taken all those names;
 * then it is a random one.
 */
static int make_session(int root, struct ul_error *err)
{
	char name[UL_SESSION_NAME_MAX];
	ul_autoclose int sessions = -1;
	int r = ul_layer_dir_own(root, UL_SESSIONS, 0700, &sessions);

	if (r < 0)
		return fail(UL_SESSIONS, -r, err);
	r = -EEXIST;
	for (unsigned int i = 0; r == -EEXIST && i < OLD_NUMBERS + RANDOM_NUMBERS; i++) {
		uint64_t number = i < OLD_NUMBERS ? i : ul_random_number();

		snprintf(name, sizeof(name), "00000000-%016" PRIx64, number);
		r = put_into(root, sessions, name);
	}
	if (r < 0)
		return fail(OLD_STORE, -r, err);
	ul_log(UL_LOG_INFO, "upper: what an older Underlay left in " OLD_STORE "/ is joined");
	return 0;
}

static int take_store(int root, struct ul_error *err)
{
	struct stat st;
	int r;

	if (fstatat(root, OLD_STORE, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(OLD_STORE, errno, err);
	if (!S_ISDIR(st.st_mode)) {
		r = ul_upper_move_aside(root, OLD_STORE);
		return r < 0 ? fail(OLD_STORE, -r, err) : 0;
	}
	r = refuse_subvolume(root, &st, err);
	if (r < 0)
		return r;
	r = ul_layer_rename(root, OLD_STORE, root, UL_KEPT);
	if (r == -EEXIST)
		return make_session(root, err);
	if (r < 0)
		return fail(OLD_STORE, -r, err);
	ul_log(UL_LOG_INFO, "upper: what an older Underlay kept in " OLD_STORE "/ is in " UL_KEPT "/ now");
	return 0;
}

int ul_upper_take_over(int root_fd, struct ul_error *err)
{
	struct ul_trash trash = {.fd = -1};
	int r = take_store(root_fd, err), moved;

	if (r < 0)
		return r;
	r = ul_trash_open(root_fd, UL_TRASH, &trash);
	if (r < 0)
		return fail(UL_TRASH, -r, err);
	moved = ul_trash_move(&trash, root_fd, OLD_WORK);
	ul_trash_close(&trash);
	return moved < 0 && moved != -ENOENT ? fail(OLD_WORK, -moved, err) : 0;
}
