#include "common/descent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/cleanup.h"

int ul_descent_enter(struct ul_descent *d, int fd)
{
	ul_autoclose int taken = fd;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = ul_vector_push(&d->levels, (struct ul_descent_level){.fd = fd, .dev = st.st_dev, .ino = st.st_ino});
	if (r < 0)
		return r;
	(void)ul_steal_fd(&taken);
	if (d->levels.n > UL_DESCENT_OPEN) {
		struct ul_descent_level *far = &d->levels.at[d->levels.n - 1 - UL_DESCENT_OPEN];

		ul_cleanup_close(&far->fd);
		far->fd = -1;
	}
	return 0;
}

/* A directory that is open keeps those above it in the kernel's memory: their numbers are still theirs. */
static int open_above(struct ul_descent_level *above, int fd)
{
	ul_autoclose int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (up < 0 || fstat(up, &st) < 0)
		return -errno;
	if (st.st_dev != above->dev || st.st_ino != above->ino)
		return -EBUSY;
	above->fd = ul_steal_fd(&up);
	return 0;
}

int ul_descent_leave(struct ul_descent *d)
{
	ul_autoclose int fd = d->levels.at[--d->levels.n].fd;
	struct ul_descent_level *above = d->levels.n > 0 ? &d->levels.at[d->levels.n - 1] : NULL;

	return above && above->fd < 0 ? open_above(above, fd) : 0;
}

int ul_descent_fd(const struct ul_descent *d)
{
	return d->levels.n > 0 ? d->levels.at[d->levels.n - 1].fd : -1;
}

void ul_descent_close(struct ul_descent *d)
{
	for (size_t i = 0; i < d->levels.n; i++)
		ul_cleanup_close(&d->levels.at[i].fd);
	ul_vector_free(&d->levels);
}
