/*
 * The upper's lock, and moving aside what has the wrong type for its place. The command does both, too (`underlay db
 * reconcile`), so this file needs nothing of the boot but the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbgen/layers/open.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

#define TRIES 3 /* its flags taken off, put aside, made */

bool ul_upper_is_medium(int error)
{
	return error == EIO || error == EROFS || ul_errno_is_full(error) || error == EUCLEAN || error == ENOMEM ||
	       error == EMFILE || error == ENFILE;
}

int ul_upper_move_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];
	int r = ul_layer_move_aside(dirfd, name, aside);

	if (r < 0)
		return r;
	ul_log(UL_LOG_WARNING, "upper: %s was not what it must be: renamed to %s", name, aside);
	return fsync(dirfd) < 0 ? -errno : 0;
}

int ul_upper_lock(int root_fd, const char *root, int *ret_fd, struct ul_error *err)
{
	static const char what[] = "locking the upper";
	char path[PATH_MAX];
	int r = -EPERM;

	snprintf(path, sizeof(path), "%s/lock", root);
	for (int attempt = 0; attempt < TRIES; attempt++) {
		/* O_NONBLOCK: a pipe must not keep us waiting. */
		ul_autoclose int fd =
			openat(root_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
		struct stat st = {0};

		r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
		if (fd >= 0 && r == 0 && S_ISREG(st.st_mode)) {
			if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
				*ret_fd = ul_steal_fd(&fd);
				return 0;
			}
			if (errno == EWOULDBLOCK)
				return ul_error_set(err, UL_E_UPPER, what, path, "Wait until it is done.",
						    "another program is changing the upper");
			r = -errno;
			break;
		}
		if (ul_upper_is_medium(-r))
			break;
		if (ul_take_flags_off_both(-r, root_fd, "lock"))
			continue;
		r = ul_upper_move_aside(root_fd, "lock");
		if (r < 0)
			break;
		r = -EPERM;
	}
	return ul_error_errno(err, UL_E_UPPER, what, path, NULL, -r);
}
