/* Looking through the closure for what is not canonical. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "verity/image/staging_internal.h"

static const char WHAT[] = "looking through the store";

/* Nested directories: deeper than any store path can be; each level holds a descriptor. */
#define MAX_DEPTH 512

/* Inodes with more than one name, in an open-addressed table. */
struct seen_inode {
	dev_t dev;
	ino_t ino; /* 0: a free slot */
};

struct scan {
	struct ul_staging *staging;
	struct seen_inode *seen;
	size_t n_seen, size_seen; /* size: a power of two */
	char path[4096];          /* of what is being looked at, below the store; for messages */
	size_t path_len;
	struct ul_error *err;
};

static int system_error(struct scan *s, int errnum)
{
	return ul_error_errno(s->err, UL_E_SYSTEM, WHAT, s->path, NULL, errnum);
}

/* The slot of (dev, ino), or the free one where it belongs. */
static struct seen_inode *find_slot(struct seen_inode *table, size_t size, dev_t dev, ino_t ino)
{
	uint64_t hash = ((uint64_t)ino ^ ((uint64_t)dev << 40)) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(hash >> 20) & (size - 1);

	while (table[i].ino != 0 && (table[i].ino != ino || table[i].dev != dev))
		i = (i + 1) & (size - 1);
	return &table[i];
}

static int grow(struct scan *s)
{
	size_t size = s->size_seen ? s->size_seen * 2 : 4096;
	struct seen_inode *table = calloc(size, sizeof(*table));

	if (!table)
		return ul_error_nomem(s->err, WHAT);
	for (size_t i = 0; i < s->size_seen; i++)
		if (s->seen[i].ino)
			*find_slot(table, size, s->seen[i].dev, s->seen[i].ino) = s->seen[i];
	free(s->seen);
	s->seen = table;
	s->size_seen = size;
	return 0;
}

/*
 * 1 where this inode was met before in the closure. Names outside the closure (the store's .links, other
 * paths) do not matter: a maker sees only what is in its tree.
 */
static int seen_before(struct scan *s, const struct stat *st)
{
	struct seen_inode *slot;
	int r = s->n_seen * 2 >= s->size_seen ? grow(s) : 0;

	if (r < 0)
		return r;
	slot = find_slot(s->seen, s->size_seen, st->st_dev, st->st_ino);
	if (slot->ino)
		return 1;
	slot->dev = st->st_dev;
	slot->ino = st->st_ino;
	s->n_seen++;
	return 0;
}

static void free_node(struct ul_staging_node *node)
{
	for (size_t i = 0; i < node->children.n; i++)
		free_node(&node->children.at[i]);
	ul_vector_free(&node->children);
	free(node->name);
}

/* Whether the object itself, not what is below it, is to be made anew: 1, 0 or negative. */
static int is_odd(struct scan *s, const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		return (st->st_mode & 07777) != ul_canonical_mode(st->st_mode, true);
	case S_IFREG:
		if ((st->st_mode & 07777) != ul_canonical_mode(st->st_mode, false))
			return 1;
		break;
	case S_IFLNK:
		break;
	default:
		return ul_error_set(s->err, UL_E_INPUT, WHAT, s->path, "Take it out of the store path.",
				    "only files, directories and symbolic links belong in a store");
	}
	if (st->st_nlink < 2 || s->staging->options.hard_links_allowed)
		return 0;
	return seen_before(s, st);
}

static int scan_object(struct scan *s, int parent, const char *name, unsigned int depth, struct ul_staging_node *ret);

/* The child is taken over, also where that fails. */
static int add_child(struct ul_staging_node *node, const char *name, struct ul_staging_node *child)
{
	child->name = strdup(name);
	if (child->name && ul_vector_push(&node->children, *child) == 0)
		return 0;
	free_node(child);
	return -ENOMEM;
}

static int scan_entry(struct scan *s, int fd, const char *name, unsigned int depth, struct ul_staging_node *node)
{
	struct ul_staging_node child = {0};
	size_t parent_len = s->path_len;
	int r, len;

	if (s->staging->options.lost_found_dropped && !strncmp(name, "lost+found", 10))
		return ul_error_set(s->err, UL_E_INPUT, WHAT, s->path,
				    "Use erofs-utils 1.6 or later, or --format squashfs.",
				    "this mkfs.erofs leaves files named \"%s\" out", name);
	len = snprintf(s->path + parent_len, sizeof(s->path) - parent_len, "/%s", name);
	if (len < 0 || (size_t)len >= sizeof(s->path) - parent_len)
		return system_error(s, ENAMETOOLONG);
	s->path_len = parent_len + (size_t)len;
	r = scan_object(s, fd, name, depth, &child);
	if (r > 0 && add_child(node, name, &child) < 0)
		r = ul_error_nomem(s->err, WHAT);
	s->path_len = parent_len;
	if (r >= 0)
		s->path[parent_len] = '\0';
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ul_staging_node *)a)->name, ((const struct ul_staging_node *)b)->name);
}

static int scan_directory(struct scan *s, int parent, const char *name, unsigned int depth,
			  struct ul_staging_node *node)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = depth < MAX_DEPTH ? ul_dir_open(parent, name, &dir) : -ELOOP;

	if (r < 0)
		return system_error(s, -r);
	while ((r = ul_dir_next(dir, &entry)) > 0) {
		r = scan_entry(s, dirfd(dir), entry->d_name, depth + 1, node);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return system_error(s, -r);
	ul_vector_sort(&node->children, by_name);
	return 0;
}

/* 1: *ret says what is to be made anew (the caller frees it); 0: canonical throughout; negative. */
static int scan_object(struct scan *s, int parent, const char *name, unsigned int depth, struct ul_staging_node *ret)
{
	struct ul_staging_node node = {0};
	struct stat st;
	int odd, r = 0;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return system_error(s, errno);
	odd = is_odd(s, &st);
	if (odd < 0)
		return odd;
	if (S_ISDIR(st.st_mode))
		r = scan_directory(s, parent, name, depth, &node);
	if (r < 0) {
		free_node(&node);
		return r;
	}
	*ret = node;
	return odd || node.children.n > 0;
}

int ul_staging_missing(const char *path, struct ul_error *err)
{
	return ul_error_set(err, UL_E_INPUT, WHAT, path, "Build or fetch it, or name the right store by --store.",
			    "the manifest lists this path, but it is not there");
}

static int scan_path(struct scan *s, int store_fd, size_t i)
{
	const char *name = s->staging->names[i];
	struct ul_staging_node node = {0}, *copy;
	struct stat st;
	int r = snprintf(s->path, sizeof(s->path), "%s/%s", s->staging->store, name);

	if (r < 0 || (size_t)r >= sizeof(s->path))
		return system_error(s, ENAMETOOLONG);
	s->path_len = (size_t)r;
	if (fstatat(store_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return ul_staging_missing(s->path, s->err);
	r = scan_object(s, store_fd, name, 0, &node);
	if (r <= 0)
		return r;
	copy = malloc(sizeof(*copy));
	if (!copy) {
		free_node(&node);
		return ul_error_nomem(s->err, WHAT);
	}
	*copy = node;
	s->staging->nodes[i] = copy;
	s->staging->odd = true;
	return 0;
}

void ul_staging_free_binds(struct ul_staging *s)
{
	for (size_t i = 0; i < s->binds.n; i++) {
		free(s->binds.at[i].source);
		free(s->binds.at[i].target);
	}
	ul_vector_free(&s->binds);
}

void ul_staging_free(struct ul_staging *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->nodes && i < s->n; i++)
		if (s->nodes[i]) {
			free_node(s->nodes[i]);
			free(s->nodes[i]);
		}
	ul_staging_free_binds(s);
	ul_cleanup_close(&s->store_fd);
	free(s->nodes);
	free(s->store);
	free(s);
}

static void cleanup_staging(struct ul_staging **s)
{
	ul_staging_free(*s);
}

int ul_staging_new(const struct ul_staging_options *options, const char *const *names, size_t n,
		   struct ul_staging **ret, struct ul_error *err)
{
	UL_CLEANUP(cleanup_staging) struct ul_staging *s = calloc(1, sizeof(*s));

	if (!s)
		return ul_error_nomem(err, WHAT);
	s->store_fd = -1;
	s->options = *options;
	s->names = names;
	s->n = n;
	s->nodes = calloc(n ? n : 1, sizeof(struct ul_staging_node *));
	if (!s->nodes)
		return ul_error_nomem(err, WHAT);
	s->store = realpath(options->store, NULL);
	s->store_fd = s->store ? open(s->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (s->store_fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "opening the store", options->store,
				      "Name the directory that holds the store paths by --store.", errno);
	s->report.bind_mounts = !options->no_namespace && ul_staging_namespace_works(&s->max_binds);
	*ret = ul_steal(s);
	return 0;
}

bool ul_staging_is_cheap(const struct ul_staging *s)
{
	return s->report.bind_mounts;
}

int ul_staging_scan(struct ul_staging *staging, const _Atomic bool *stop, struct ul_error *err)
{
	struct scan s = {.staging = staging, .err = err};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < staging->n && !(stop && *stop); i++)
		r = scan_path(&s, staging->store_fd, i);
	free(s.seen);
	return r < 0 ? r : staging->odd;
}

bool ul_staging_is_odd(const struct ul_staging *s)
{
	return s->odd;
}
