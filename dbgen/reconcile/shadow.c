/*
 * No shadowing: one pass over the top level of the upper's store/. An entry with a name of the manifest, of whatever
 * type and with whatever attributes (a directory, a file, a symlink, a whiteout), would be served in the lower's
 * place: it is renamed away. The names are sorted as the manifest is, and each is looked up by binary search: the
 * lower is not walked.
 *
 * What else could hide the lower:
 *   - attributes of overlayfs on store/ itself (opaque: all of the lower is hidden): removed
 *   - case-insensitive lookups in store/: another spelling would hide a name. All of store/ is moved away
 *   - a whiteout for a name that this lower has not: harmless today, but it would hide what a newer one brings: removed
 *   - an entry that cannot be renamed (a flag on a device node, a subvolume's border): all of store/ is moved away
 *   - what overlayfs left in work/: it is overlayfs' own, which refuses the mount or turns it read-only where it finds
 *     there what it did not make: anything but its empty directory is moved away
 * And what could not: `.links` and other names that are no store paths (the manifest has none of them; a sealed store's
 * .links is no store path either, and Nix compares what it links); attributes of entries with new names (redirects are
 * not followed, the overlay is mounted with redirect_dir=nofollow and metacopy=off); lock files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "common/dir.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/upper_open.h"
#include "dbgen/reconcile/upper_store.h"

#define STORE     "store"
#define WORK      "work"
#define DENTS     (256 * 1024) /* bytes that one call reads */
#define ATTRS_MAX 65536        /* bytes of one file's attribute names: the kernel's limit */

#ifndef FS_CASEFOLD_FL
#define FS_CASEFOLD_FL 0x40000000
#endif

struct scan {
	struct ul_upper_store *s;
	struct ul_upper_dir *u;
	struct ul_manifest *lower;
};

/* A record of getdents64; glibc shows it to readdir only. */
struct dent {
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

/* An entry while names still moves: what is needed of it, and where its name is. */
struct entry {
	size_t name;
	unsigned char type;
};

/* ---- reading ---- */

static unsigned char type_of(int fd, const struct dent *d)
{
	struct stat st;

	if (d->type != DT_UNKNOWN)
		return d->type;
	return fstatat(fd, d->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? DT_UNKNOWN : (unsigned char)IFTODT(st.st_mode);
}

static int read_entries(struct scan *c, struct ul_buffer *found)
{
	ul_autofree char *block = malloc(DENTS);
	long n = 0;

	if (!block)
		return ul_upper_dir_nomem(c->u);
	while ((n = syscall(SYS_getdents64, c->s->fd, block, DENTS)) > 0) {
		for (long at = 0; at < n;) {
			const struct dent *d = (const void *)(block + at);
			struct entry e = {.name = c->s->names.len, .type = type_of(c->s->fd, d)};

			at += d->len;
			if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
				continue;
			if (ul_buffer_append(&c->s->names, d->name, strlen(d->name) + 1) < 0 ||
			    ul_buffer_append(found, &e, sizeof(e)) < 0)
				return ul_upper_dir_nomem(c->u);
		}
	}
	return n < 0 ? ul_upper_dir_fail(c->u, STORE, errno) : 0;
}

/* ---- each entry ---- */

static const char *type_name(unsigned char type)
{
	switch (type) {
	case DT_DIR:
		return "a directory";
	case DT_REG:
		return "a file";
	case DT_LNK:
		return "a symlink";
	case DT_CHR:
		return "a character device";
	case DT_BLK:
		return "a block device";
	case DT_FIFO:
		return "a pipe";
	case DT_SOCK:
		return "a socket";
	default:
		return "an entry";
	}
}

static bool is_whiteout(const struct scan *c, const char *name, unsigned char type)
{
	struct stat st;

	return type == DT_CHR && fstatat(c->s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == 0;
}

/* *ret_stays: it is neither sealed nor of a type that no store path has. */
static int judge(struct scan *c, const char *name, unsigned char type, bool *ret_stays)
{
	bool whiteout = is_whiteout(c, name, type);
	uint32_t number;
	int sealed = ul_manifest_find(c->lower, name, &number, c->u->err), r;

	*ret_stays = false;
	if (sealed < 0)
		return sealed;
	if (sealed) {
		c->s->shadowed = true;
		r = ul_upper_dir_report(c->u, UL_RECONCILE_QUARANTINED, name, "%s over a path of the lower",
					whiteout ? "a whiteout" : type_name(type));
		return r < 0 ? r : ul_quarantine_move(c->u, c->s->fd, name);
	}
	if (whiteout) {
		r = ul_upper_dir_report(c->u, UL_RECONCILE_WHITEOUT, name, "the lower does not have it");
		if (r < 0 || c->u->dry_run)
			return r;
		return unlinkat(c->s->fd, name, 0) < 0 ? ul_quarantine_move(c->u, c->s->fd, name) : 0;
	}
	if (type == DT_DIR || type == DT_REG || type == DT_LNK) {
		*ret_stays = true;
		return 0;
	}
	r = ul_upper_dir_report(c->u, UL_RECONCILE_QUARANTINED, name, "%s cannot be a store path", type_name(type));
	return r < 0 ? r : ul_quarantine_move(c->u, c->s->fd, name);
}

static int by_name(const void *a, const void *b, void *names)
{
	const struct entry *x = a, *y = b;

	return strcmp((char *)names + x->name, (char *)names + y->name);
}

static int judge_all(struct scan *c)
{
	ul_autobuffer struct ul_buffer found = {0};
	int r = read_entries(c, &found);
	struct entry *list = (void *)found.data;
	size_t n = found.len / sizeof(*list);

	/* In the manifest's order, so that of each of its batches the names are unpacked once. */
	if (r == 0 && n > 0)
		qsort_r(list, n, sizeof(*list), by_name, c->s->names.data);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *name = (const char *)c->s->names.data + list[i].name;
		bool stays;

		r = judge(c, name, list[i].type, &stays);
		if (r == 0 && stays && ul_vector_push(&c->s->entries, name) < 0)
			r = ul_upper_dir_nomem(c->u);
	}
	return r;
}

/* ---- store/ and work/ themselves ---- */

/* Those that hide nothing and that overlayfs itself sets on its upper directory. */
static bool is_harmless(const char *attr)
{
	return !strcmp(attr, "impure") || !strcmp(attr, "origin") || !strcmp(attr, "uuid");
}

static int clean_attributes(struct scan *c)
{
	static const char *const prefixes[] = {"trusted.overlay.", "user.overlay."};
	ul_autofree char *attrs = malloc(ATTRS_MAX);
	ssize_t n = attrs ? flistxattr(c->s->fd, attrs, ATTRS_MAX) : 0;
	int r = 0;

	if (!attrs)
		return ul_upper_dir_nomem(c->u);
	if (n < 0)
		return errno == ENOTSUP ? 0 : ul_upper_dir_fail(c->u, STORE, errno);
	for (const char *at = attrs; r == 0 && at < attrs + n; at += strlen(at) + 1) {
		for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(prefixes); i++) {
			size_t len = strlen(prefixes[i]);

			if (strncmp(at, prefixes[i], len) != 0 || is_harmless(at + len))
				continue;
			r = ul_upper_dir_report(c->u, UL_RECONCILE_NOTE, STORE, "its attribute %s was removed", at);
			if (r == 0 && !c->u->dry_run && fremovexattr(c->s->fd, at) < 0)
				r = ul_upper_dir_fail(c->u, STORE, errno);
		}
	}
	return r;
}

static bool folds_case(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_CASEFOLD_FL;
}

/* Its paths are lost to Nix, not to people: they are in the quarantine. */
static int move_store_away(struct scan *c, const char *why)
{
	int r = ul_upper_dir_report(c->u, UL_RECONCILE_QUARANTINED, STORE, "%s", why);

	c->s->shadowed = true;
	c->s->names.len = c->s->entries.n = 0;
	if (r < 0 || c->u->dry_run)
		return r;
	ul_cleanup_close(&c->s->fd);
	c->s->fd = -1;
	return ul_quarantine_move(c->u, c->u->fd, STORE);
}

static int open_store(struct scan *c)
{
	int r = ul_upper_dir_open(c->u, c->u->fd, STORE, &c->s->fd);

	if (r < 0 || c->s->fd >= 0 || c->u->dry_run)
		return r;
	if (mkdirat(c->u->fd, STORE, 0755) < 0 && errno != EEXIST)
		return ul_upper_dir_fail(c->u, STORE, errno);
	c->s->fd = openat(c->u->fd, STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->s->fd < 0 ? ul_upper_dir_fail(c->u, STORE, errno) : 0;
}

/* Overlayfs leaves an empty directory `work` (and `index`) there; more is of a mount that we do not make. */
static bool is_usual_work(int fd)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	bool usual = ul_dir_open(fd, ".", &dir) == 0;

	while (usual && ul_dir_next(dir, &entry) > 0) {
		/* Removing works for an empty directory only; overlayfs makes it again. */
		usual = !strcmp(entry->d_name, WORK) &&
			(unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT);
	}
	return usual;
}

static int clean_work(struct scan *c)
{
	ul_autoclose int fd = -1;
	int r = ul_upper_dir_open(c->u, c->u->fd, WORK, &fd);

	if (r < 0 || c->u->dry_run)
		return r;
	if (fd >= 0 && !is_usual_work(fd)) {
		/* A cut in the middle of Nix's work leaves files here: worth nothing, nothing to tell. */
		r = ul_quarantine_discard(c->u, c->u->fd, WORK);
		if (r < 0)
			return r;
	}
	if (mkdirat(c->u->fd, WORK, 0755) < 0 && errno != EEXIST)
		return ul_upper_dir_fail(c->u, WORK, errno);
	return 0;
}

int ul_upper_store_scan(struct ul_upper_store *s, struct ul_upper_dir *u, struct ul_manifest *lower)
{
	struct scan scan = {.s = s, .u = u, .lower = lower}, *c = &scan;
	int r = open_store(c);

	if (r == 0 && c->s->fd >= 0 && folds_case(c->s->fd)) {
		r = move_store_away(c, "it folds case, so that other names could hide the lower's");
		if (r == 0)
			r = open_store(c);
	}
	if (r == 0 && c->s->fd >= 0)
		r = clean_attributes(c);
	if (r == 0 && c->s->fd >= 0) {
		r = judge_all(c);
		if (r == -UL_E_UPPER && c->u->err->errnum != ENOSPC && c->u->err->errnum != EIO) {
			r = move_store_away(c, "an entry of it cannot be moved away");
			if (r == 0)
				r = open_store(c);
		}
	}
	return r < 0 ? r : clean_work(c);
}
