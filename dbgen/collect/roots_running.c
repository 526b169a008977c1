/*
 * What running programs use. A process may end while it is looked at, and then holds nothing; one that may not be
 * looked at is left out, as Nix leaves it out: the collector is root.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/dir.h"
#include "common/file.h"
#include "dbgen/collect/roots.h"
#include "dbgen/store/store_path.h"

#define TEXT_MAX (256 << 20) /* bytes of one process's maps or environment */

static const char what[] = "finding what running programs use";

struct look {
	const struct ul_roots_options *o;
	struct ul_names *ret;
};

static bool is_over(int error)
{
	return error == ENOENT || error == EACCES || error == ESRCH || error == EPERM;
}

/* 0 or -errno. */
static int take_link(const struct look *l, int dirfd, const char *name)
{
	char target[PATH_MAX];
	int r = ul_read_link(dirfd, name, target);

	if (r < 0)
		return is_over(-r) || r == -ENAMETOOLONG ? 0 : r;
	return ul_roots_add(l->o, target, l->ret);
}

static int take_files(const struct look *l, int process)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(process, "fd", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = take_link(l, dirfd(dir), entry->d_name);
	return r < 0 && !is_over(-r) ? r : 0;
}

/* Wherever the store's name stands in a text, followed by a path of it. */
static int take_text(const struct look *l, const struct ul_buffer *text)
{
	const char *at = (const char *)text->data, *end = at + text->len;
	size_t store = strlen(l->o->store_dir);
	char path[UL_STORE_PATH_SIZE];
	int r = 0;

	while (r == 0 && at < end && (at = memmem(at, (size_t)(end - at), l->o->store_dir, store))) {
		size_t len = store, most = (size_t)(end - at);

		if (len < most && at[len] == '/')
			len++;
		while (len < most && len < sizeof(path) - 1 && ul_store_name_chars(at + len, 1))
			len++;
		memcpy(path, at, len);
		path[len] = '\0';
		r = ul_roots_add(l->o, path, l->ret);
		at += store;
	}
	return r;
}

static int take_file(const struct look *l, int dirfd, const char *name)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(dirfd, name, TEXT_MAX, &text);

	return r < 0 ? (is_over(-r) ? 0 : r) : take_text(l, &text);
}

static int look_at(const struct look *l, int proc, const char *name)
{
	ul_autoclose int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (process < 0)
		return is_over(errno) ? 0 : -errno;
	r = take_link(l, process, "exe");
	if (r == 0)
		r = take_link(l, process, "cwd");
	if (r == 0)
		r = take_files(l, process);
	if (r == 0)
		r = take_file(l, process, "maps");
	return r < 0 ? r : take_file(l, process, "environ");
}

int ul_roots_running(const struct ul_roots_options *o, const char *proc, struct ul_names *ret, struct ul_error *err)
{
	static const char *const called[] = {"sys/kernel/modprobe", "sys/kernel/fbsplash", "sys/kernel/poweroff_cmd"};
	const struct look l = {o, ret};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(AT_FDCWD, proc, &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			r = look_at(&l, dirfd(dir), entry->d_name);
	for (size_t i = 0; r >= 0 && i < UL_ARRAY_SIZE(called); i++)
		r = take_file(&l, dirfd(dir), called[i]);
	if (r == -ENOMEM)
		return ul_error_nomem(err, what);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, proc, NULL, -r) : 0;
}
