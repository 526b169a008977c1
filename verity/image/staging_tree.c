#include "verity/image/staging_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "verity/image/staging_internal.h"

static const char WHAT[] = "laying out the tree";

/*
 * A file this small is sooner copied than mounted: a mount costs some 20 us, again when the namespace ends, and
 * counts towards the kernel's limit. Closures hold derivations by the thousand.
 */
#define SMALL_FILE 65536

struct place {
	struct ul_staging *staging;
	struct ul_error *err;
};

static int place_error(struct place *p, const char *object, int errnum)
{
	return ul_error_errno(p->err, UL_E_SYSTEM, WHAT, object, NULL, errnum);
}

static int copy_data(int from, int to, uint64_t size)
{
	uint8_t buf[65536];
	ssize_t n = 1;

	/* The kernel shares blocks where the filesystem can. */
	while (size > 0 && n > 0) {
		n = copy_file_range(from, NULL, to, NULL, size < SSIZE_MAX ? size : SSIZE_MAX, 0);
		if (n > 0)
			size -= (uint64_t)n;
	}
	if (n >= 0)
		return 0;
	if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	while ((n = read(from, buf, sizeof(buf))) != 0) {
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : ul_write_full(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_file(struct place *p, const char *source, const char *target)
{
	ul_autoclose int from = open(source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ul_autoclose int to = -1;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return place_error(p, source, errno);
	if (!S_ISREG(st.st_mode))
		return ul_error_set(p->err, UL_E_INPUT, WHAT, source, NULL,
				    "it changed while the image was being built");
	to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return place_error(p, target, errno);
	r = copy_data(from, to, (uint64_t)st.st_size);
	if (r < 0)
		return place_error(p, target, -r);
	if (fchmod(to, ul_canonical_mode(st.st_mode, false)) < 0)
		return place_error(p, target, errno);
	p->staging->report.copied++;
	p->staging->report.copied_bytes += (uint64_t)st.st_size;
	return 0;
}

static int copy_symlink(struct place *p, const char *source, const char *target)
{
	char text[PATH_MAX];
	ssize_t n = readlink(source, text, sizeof(text) - 1);

	if (n < 0)
		return place_error(p, source, errno);
	text[n] = '\0';
	return symlink(text, target) < 0 ? place_error(p, target, errno) : 0;
}

/* Note a bind mount and make its mount point. */
static int add_bind(struct place *p, const char *source, const char *target, bool directory)
{
	struct ul_staging *s = p->staging;
	struct ul_staging_bind bind = {strdup(source), strdup(target)};
	int fd;

	if (!bind.source || !bind.target || ul_vector_push(&s->binds, bind) < 0) {
		free(bind.source);
		free(bind.target);
		return ul_error_nomem(p->err, WHAT);
	}
	s->report.bound++;
	if (directory)
		return mkdir(target, 0555) < 0 ? place_error(p, target, errno) : 0;
	fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return place_error(p, target, errno);
	close(fd);
	return 0;
}

static bool may_bind(const struct ul_staging *s)
{
	return s->report.bind_mounts && s->binds.n < s->max_binds;
}

/* A canonical file: as it is, by whatever costs least. */
static int place_file(struct place *p, const char *source, const char *target, uint64_t size)
{
	if (size < SMALL_FILE)
		return copy_file(p, source, target);
	if (may_bind(p->staging))
		return add_bind(p, source, target, false);
	/* Another filesystem, another owner (protected_hardlinks), too many links: then a copy. */
	if (link(source, target) == 0) {
		p->staging->report.linked++;
		return 0;
	}
	return copy_file(p, source, target);
}

static int place_object(struct place *p, const char *source, const char *target, const struct ul_staging_node *node);

static const struct ul_staging_node *find_child(const struct ul_staging_node *node, const char *name)
{
	size_t low = 0, high = node ? node->children.n : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, node->children.at[middle].name);

		if (order == 0)
			return &node->children.at[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static int place_entry(struct place *p, const char *source, const char *target, const char *name,
		       const struct ul_staging_node *node)
{
	ul_autofree char *from = ul_path_join(source, name), *to = ul_path_join(target, name);

	if (!from || !to)
		return ul_error_nomem(p->err, WHAT);
	return place_object(p, from, to, find_child(node, name));
}

/* A directory made anew, with all its entries. */
static int place_directory(struct place *p, const char *source, const char *target, const struct ul_staging_node *node)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r;

	if (mkdir(target, 0700) < 0)
		return place_error(p, target, errno);
	r = ul_dir_open(AT_FDCWD, source, &dir);
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		int placed = place_entry(p, source, target, entry->d_name, node);

		if (placed < 0)
			return placed;
	}
	if (r < 0)
		return place_error(p, source, -r);
	return chmod(target, 0555) < 0 ? place_error(p, target, errno) : 0;
}

/* node NULL: canonical throughout. */
static int place_object(struct place *p, const char *source, const char *target, const struct ul_staging_node *node)
{
	struct stat st;

	if (lstat(source, &st) < 0)
		return place_error(p, source, errno);
	if (S_ISLNK(st.st_mode))
		return copy_symlink(p, source, target);
	if (S_ISREG(st.st_mode))
		return node ? copy_file(p, source, target) : place_file(p, source, target, (uint64_t)st.st_size);
	if (!node && may_bind(p->staging))
		return add_bind(p, source, target, true);
	return place_directory(p, source, target, node);
}

int ul_staging_populate(struct ul_staging *s, const char *dir, struct ul_error *err)
{
	struct place p = {.staging = s, .err = err};
	struct stat st;

	ul_staging_free_binds(s);
	s->report = (struct ul_staging_report){.bind_mounts = s->report.bind_mounts};
	for (size_t i = 0; i < s->n; i++) {
		ul_autofree char *source = ul_path_join(s->store, s->names[i]);
		ul_autofree char *target = ul_path_join(dir, s->names[i]);
		int r;

		if (!source || !target)
			return ul_error_nomem(err, WHAT);
		r = place_object(&p, source, target, s->nodes[i]);
		if (r < 0)
			return lstat(source, &st) < 0 && errno == ENOENT ? ul_staging_missing(source, err) : r;
		ul_progress_report(s->options.progress, "copying", s->report.copied_bytes, 0);
	}
	return 0;
}

void ul_staging_get_report(const struct ul_staging *s, struct ul_staging_report *ret)
{
	*ret = s->report;
}
