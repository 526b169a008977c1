#include "dbgen/collect/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "common/cleanup.h"

static int lock(int state_fd, const char *name, int operation, int *ret, struct ul_error *err)
{
	ul_autoclose int fd = openat(state_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -1 : flock(fd, operation);

	while (r < 0 && fd >= 0 && errno == EINTR)
		r = flock(fd, operation);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "taking Nix's lock", name, errno == EACCES ? "Be root." : NULL,
				      errno);
	*ret = ul_steal_fd(&fd);
	return 0;
}

int ul_collect_lock(int state_fd, bool shared, struct ul_collect_locks *ret, struct ul_error *err)
{
	int r = lock(state_fd, "db/big-lock", LOCK_SH, &ret->big, err);

	return r < 0 ? r : lock(state_fd, "gc.lock", shared ? LOCK_SH : LOCK_EX, &ret->gc, err);
}

void ul_collect_unlock(struct ul_collect_locks *locks)
{
	ul_cleanup_close(&locks->gc);
	ul_cleanup_close(&locks->big);
	*locks = UL_COLLECT_LOCKS_NONE;
}
