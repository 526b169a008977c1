/*
 * Overlayfs wants its layers left alone while it is mounted, for it remembers what it saw in them. What it must not
 * remember is therefore removed through it: a session's entry is then gone; one of the kept layer is hidden by a
 * whiteout, and every name that the overlay knew below it is forgotten. After that no lookup reaches the kept layer
 * under this name, and what lies there is an unused tree of another filesystem's. Open files, and programs that run
 * from them, hold their inodes.
 */
#include "dbgen/collect/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/descent.h"
#include "common/dir.h"
#include "common/file.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/names.h"
#include "dbgen/layers/overlay_marks.h"
#include "dbgen/layers/session.h"

#define ABANDONED_AFTER 3600 /* seconds */

static const char what[] = "opening the store";

/* ---- opening ---- */

/* A remount of the mount alone, in a namespace of our own: it stays read-only for everybody else. */
static int make_writable(const char *view, struct ul_error *err)
{
	unsigned long flags = MS_REMOUNT | MS_BIND;
	struct statvfs fs;

	if (statvfs(view, &fs) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, view, NULL, errno);
	if (!(fs.f_flag & ST_RDONLY))
		return 0;
	flags |= (fs.f_flag & ST_NOSUID ? MS_NOSUID : 0) | (fs.f_flag & ST_NODEV ? MS_NODEV : 0) |
		 (fs.f_flag & ST_NOEXEC ? MS_NOEXEC : 0);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, view, NULL, flags, NULL) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "making the store writable", view,
				      errno == EPERM ? "Be root." : NULL, errno);
	return 0;
}

static int refuse(const char *name, int error, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_SYSTEM, what, name, error == EACCES ? "Be root." : NULL, error);
}

static int open_dir(int dirfd, const char *path, int *ret, struct ul_error *err)
{
	*ret = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret >= 0 ? 0 : refuse(path, errno, err);
}

static int open_session(int upper, const char *name, int *ret, struct ul_error *err)
{
	*ret = ul_session_open(upper, name);
	return *ret >= 0 ? 0 : refuse(name, -*ret, err);
}

int ul_store_dirs_open(const struct ul_collect_layout *at, bool writable, struct ul_store_dirs *ret,
		       struct ul_error *err)
{
	int r = writable ? make_writable(at->view, err) : 0;

	if (r == 0)
		r = open_dir(AT_FDCWD, at->view, &ret->view, err);
	if (r == 0)
		r = open_dir(AT_FDCWD, at->upper, &ret->upper, err);
	if (r == 0)
		r = open_session(ret->upper, at->session, &ret->session, err);
	if (r == 0 && at->persistent)
		r = open_dir(ret->upper, UL_KEPT, &ret->kept, err);
	ret->may_free = at->may_free;
	return r;
}

void ul_store_dirs_close(struct ul_store_dirs *d)
{
	ul_cleanup_close(&d->view);
	ul_cleanup_close(&d->upper);
	ul_cleanup_close(&d->session);
	ul_cleanup_close(&d->kept);
	*d = UL_STORE_DIRS_NONE;
}

/* ---- measuring ---- */

struct measurement {
	struct ul_descent way;
	UL_VECTOR(struct ul_names) levels; /* of each directory that was entered, those in it that are still to be */
	struct ul_store_size size;
};

/* Whether it is a directory, which is still to be entered. */
static bool count(struct measurement *m, int parent, const char *name)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISDIR(st.st_mode) || st.st_nlink == 1) {
		m->size.bytes += (uint64_t)st.st_blocks * 512;
		m->size.inodes += 1;
	}
	return S_ISDIR(st.st_mode);
}

/*
 * All its entries are counted at once. What cannot be opened or listed cannot be removed either, and is passed over.
 * -errno: the way is lost, or memory.
 */
static int enter(struct measurement *m, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct ul_names dirs = {0};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r;

	if (fd < 0)
		return 0;
	r = ul_descent_enter(&m->way, fd);
	if (r < 0)
		return r;
	if (ul_dir_open(fd, ".", &dir) == 0)
		while (r == 0 && ul_dir_next_readable(dir, &entry))
			if (count(m, fd, entry->d_name))
				r = ul_names_add(&dirs, entry->d_name);
	if (r == 0)
		r = ul_vector_push(&m->levels, dirs);
	if (r < 0)
		ul_names_free(&dirs);
	return r;
}

/* One step: the next directory of the one that was entered last is entered, or this one is left. */
static int go_on(struct measurement *m)
{
	struct ul_names *dirs = &m->levels.at[m->levels.n - 1];
	ul_autofree char *next = NULL;

	if (dirs->n > 0) {
		next = dirs->at[--dirs->n];
		return enter(m, ul_descent_fd(&m->way), next);
	}
	ul_names_free(dirs);
	m->levels.n--;
	return ul_descent_leave(&m->way);
}

/* What removing would give back. */
static void measure(int parent, const char *name, struct ul_store_size *sum)
{
	struct measurement m = {0};
	int r = count(&m, parent, name) ? enter(&m, parent, name) : 0;

	while (r == 0 && m.levels.n > 0)
		r = go_on(&m);
	for (size_t i = 0; i < m.levels.n; i++)
		ul_names_free(&m.levels.at[i]);
	ul_vector_free(&m.levels);
	ul_descent_close(&m.way);
	sum->bytes += m.size.bytes;
	sum->inodes += m.size.inodes;
}

bool ul_store_measure(const struct ul_store_dirs *d, const char *name, struct ul_store_size *ret_session,
		      struct ul_store_size *ret_kept)
{
	struct ul_store_size session = {0}, kept = {0};
	struct stat st;

	measure(d->session, name, &session);
	if (d->kept >= 0)
		measure(d->kept, name, &kept);
	*ret_session = session;
	*ret_kept = kept;
	/* Not by what is counted there: of files with other names nothing is. */
	return d->kept >= 0 && fstatat(d->kept, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool ul_store_is_left(const struct ul_store_dirs *d, const char *name)
{
	struct stat st;

	return !d->may_free && fstatat(d->session, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && ul_overlay_is_whiteout(&st);
}

/* ---- removing ---- */

int ul_store_remove(const struct ul_store_dirs *d, const char *name)
{
	struct stat st;
	int r = ul_remove_tree(d->view, name);

	if (r < 0 || d->kept < 0 || !d->may_free)
		return r;
	/* Never what somebody could see. */
	if (fstatat(d->view, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return errno == ENOENT ? ul_remove_tree(d->kept, name) : -errno;
}

int64_t ul_store_remove_links(const struct ul_store_dirs *d)
{
	ul_autoclose int links = openat(d->view, UL_LAYER_LINKS_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int64_t n = 0;
	int r = ul_dir_open(d->session, UL_LAYER_LINKS_NAME, &dir);

	if (r < 0 || links < 0)
		return r == -ENOENT || (r >= 0 && errno == ENOENT) ? 0 : r < 0 ? r : -errno;
	while ((r = ul_dir_next(dir, &entry)) > 0) {
		struct stat st;

		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink != 1 ||
		    (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)))
			continue;
		if (unlinkat(links, entry->d_name, 0) == 0)
			n++;
	}
	return r < 0 ? r : n;
}

bool ul_store_is_abandoned(const struct ul_store_dirs *d, const char *name)
{
	ul_autoclose int fd = -1;
	struct stat st;

	if (fstatat(d->view, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT; /* hidden already */
	if (st.st_ctime > time(NULL) - ABANDONED_AFTER)
		return false;
	if (strncmp(name, "tmp-", 4) != 0)
		return true;
	fd = openat(d->view, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}
