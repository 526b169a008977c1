#include "verity/image/work_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"

int ul_work_dir_check(const char *output, bool replace, const char *what, struct ul_error *err)
{
	struct stat st;

	if (lstat(output, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return ul_error_set(err, UL_E_EXISTS, what, output, "Build a file, then copy it to the disk.",
				    "it exists and is not a regular file");
	if (!replace)
		return ul_error_set(err, UL_E_EXISTS, what, output, "Remove it, or give --force.", "it exists already");
	return 0;
}

static char *absolute_output(const char *output)
{
	ul_autofree char *copy = strdup(output), *other = strdup(output), *dir = NULL;

	if (!copy || !other)
		return NULL;
	dir = realpath(dirname(copy), NULL);
	return dir ? ul_path_join(dir, basename(other)) : NULL;
}

static bool is_ours(const char *name, const char *const *ours)
{
	while (*ours && strcmp(*ours, name) != 0)
		ours++;
	return *ours != NULL;
}

/* What a killed run left goes. A directory with anything else in it is somebody's. */
static int empty(const struct ul_work_dir *work, const char *const *ours, const char *what, struct ul_error *err)
{
	ul_autonames struct ul_names names = {0};
	int r = ul_dir_names(work->fd, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (!is_ours(names.at[i], ours))
			return ul_error_set(err, UL_E_EXISTS, what, work->path,
					    "Move it away, or build under another name.",
					    "no build left it, for it holds %s", names.at[i]);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = ul_remove_tree(work->fd, names.at[i]);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, work->path, NULL, -r) : 0;
}

static int lock(struct ul_work_dir *work, const char *what, struct ul_error *err)
{
	if (mkdir(work->path, 0700) < 0 && errno != EEXIST)
		return ul_error_errno(err, UL_E_SYSTEM, what, work->path, NULL, errno);
	work->fd = open(work->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work->fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, work->path, NULL, errno);
	if (flock(work->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? ul_error_set(err, UL_E_EXISTS, what, work->output, "Wait for the other one.",
						   "it is being built by another process")
				    : ul_error_errno(err, UL_E_SYSTEM, what, work->path, NULL, errno);
}

int ul_work_dir_make(const char *output, const char *const *ours, const char *what, struct ul_work_dir *ret,
		     struct ul_error *err)
{
	int r;

	*ret = (struct ul_work_dir){.fd = -1};
	errno = 0;
	ret->output = absolute_output(output);
	if (!ret->output)
		return ul_error_errno(err, UL_E_SYSTEM, what, output, NULL, errno ? errno : ENOMEM);
	if (asprintf(&ret->path, "%s.tmp", ret->output) < 0)
		ret->path = NULL;
	if (!ret->path)
		return ul_error_nomem(err, what);
	r = lock(ret, what, err);
	if (r == 0)
		r = empty(ret, ours, what, err);
	/* Only the holder of the lock may remove, and only what is a run's. */
	if (r < 0) {
		ul_cleanup_close(&ret->fd);
		ret->fd = -1;
	}
	return r;
}

int ul_work_dir_publish(const struct ul_work_dir *work, const char *file, bool replace, const char *what,
			struct ul_error *err)
{
	int r = renameat2(AT_FDCWD, file, AT_FDCWD, work->output, replace ? 0 : RENAME_NOREPLACE);

	if (r < 0 && errno == EINVAL) /* the filesystem does not know the flags */
		r = rename(file, work->output);
	if (r == 0)
		return 0;
	return ul_error_errno(err, errno == EEXIST ? UL_E_EXISTS : UL_E_SYSTEM, what, work->output, NULL, errno);
}

void ul_work_dir_remove(struct ul_work_dir *work)
{
	if (work->fd >= 0) {
		(void)!ul_remove_tree(AT_FDCWD, work->path);
		close(work->fd);
	}
	free(work->output);
	free(work->path);
	*work = (struct ul_work_dir){.fd = -1};
}
