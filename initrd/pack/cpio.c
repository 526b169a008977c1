/* The initramfs as an archive: a sorted list of entries, and its newc form. */
#include "initrd/pack/cpio.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char what[] = "adding to the initramfs";
#define PATH_SIZE 1025 /* with its NUL */

/* Absolute, and every part a plain name: what the kernel would unpack elsewhere is refused here. */
static bool plain_path(const char *path)
{
	size_t len = strlen(path);

	if (path[0] != '/' || len < 2 || len >= PATH_SIZE)
		return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		size_t n = strcspn(++part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && !memcmp(part, "..", 2)))
			return false;
	}
	return true;
}

/* Index of the first entry that is not before path. */
static size_t lower_bound(const struct ul_cpio *c, const char *path)
{
	size_t low = 0, high = c->entries.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(c->entries.at[mid].path, path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int conflict(const struct ul_cpio_entry *have, const struct ul_cpio_entry *wanted, struct ul_error *err)
{
	const char *other = S_ISDIR(have->mode) ? "a directory"
			    : *have->source     ? have->source
						: "a file that Underlay makes";

	if (S_ISDIR(have->mode) && S_ISDIR(wanted->mode))
		return 0;
	if (have->mode == wanted->mode && have->len == wanted->len && have->major == wanted->major &&
	    have->minor == wanted->minor && (wanted->len == 0 || !memcmp(have->data, wanted->data, wanted->len)))
		return 0;
	return ul_error_set(err, UL_E_EXISTS, what, *wanted->source ? wanted->source : wanted->path,
			    "Give one of the two another path.", "/%s is taken by %s", have->path, other);
}

/* Takes a copy of everything in *wanted. */
static int insert(struct ul_cpio *c, const struct ul_cpio_entry *wanted, struct ul_error *err)
{
	size_t at = lower_bound(c, wanted->path);
	struct ul_cpio_entry e = *wanted;

	if (at < c->entries.n && !strcmp(c->entries.at[at].path, wanted->path))
		return conflict(&c->entries.at[at], wanted, err);
	if (e.len > UL_CPIO_FILE_MAX || c->bytes + e.len > UL_CPIO_TOTAL_MAX)
		return ul_error_set(err, UL_E_INPUT, what, *e.source ? e.source : e.path, NULL,
				    "with its %zu bytes the initramfs would be larger than %u MiB", e.len,
				    UL_CPIO_TOTAL_MAX >> 20);
	if (ul_vector_reserve(&c->entries, 1) < 0)
		return ul_error_nomem(err, what);
	e.path = strdup(wanted->path);
	e.source = strdup(wanted->source);
	e.data = e.len ? malloc(e.len) : NULL;
	if (!e.path || !e.source || (e.len && !e.data)) {
		free(e.path);
		free(e.source);
		free(e.data);
		return ul_error_nomem(err, what);
	}
	if (e.len)
		memcpy(e.data, wanted->data, e.len);
	memmove(c->entries.at + at + 1, c->entries.at + at, (c->entries.n - at) * sizeof(e));
	c->entries.at[at] = e;
	c->entries.n++;
	c->bytes += e.len;
	return 0;
}

/* e has no path yet, and a source or NULL. path is absolute, an entry's own is not. */
static int add(struct ul_cpio *c, const char *path, const struct ul_cpio_entry *e, struct ul_error *err)
{
	char parent[PATH_SIZE], empty[] = "";
	struct ul_cpio_entry whole = *e;

	if (!plain_path(path))
		return ul_error_set(err, UL_E_USAGE, what, path,
				    "Give an absolute path without \".\", \"..\" and double slashes.",
				    "an initramfs cannot have this path");
	snprintf(parent, sizeof(parent), "%s", path + 1);
	whole.path = parent;
	if (!whole.source)
		whole.source = empty;
	for (char *slash = strchr(parent, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct ul_cpio_entry dir = {.path = parent, .source = whole.source, .mode = S_IFDIR | 0755};
		int r;

		*slash = '\0';
		r = insert(c, &dir, err);
		*slash = '/';
		if (r < 0)
			return r;
	}
	return insert(c, &whole, err);
}

static void pad(struct ul_buffer *b, size_t start, size_t multiple)
{
	while ((b->len - start) % multiple)
		b->data[b->len++] = 0;
}

/* ret has been given room enough by the caller. */
static void write_record(struct ul_buffer *ret, size_t start, const struct ul_cpio_entry *e, uint32_t inode)
{
	size_t name = strlen(e->path) + 1;

	ret->len += (size_t)snprintf((char *)ret->data + ret->len, ret->size - ret->len,
				     "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", inode, e->mode, 0,
				     0, S_ISDIR(e->mode) ? 2 : 1, 0, e->len, 0, 0, e->major, e->minor, name, 0);
	memcpy(ret->data + ret->len, e->path, name);
	ret->len += name;
	pad(ret, start, 4);
	if (e->len)
		memcpy(ret->data + ret->len, e->data, e->len);
	ret->len += e->len;
	pad(ret, start, 4);
}

int ul_cpio_add_dir(struct ul_cpio *c, const char *path, mode_t permissions, struct ul_error *err)
{
	struct ul_cpio_entry e = {.mode = S_IFDIR | permissions};

	return add(c, path, &e, err);
}

int ul_cpio_add_node(struct ul_cpio *c, const char *path, mode_t permissions, unsigned major, unsigned minor,
		     struct ul_error *err)
{
	struct ul_cpio_entry e = {.mode = S_IFCHR | permissions, .major = major, .minor = minor};

	return add(c, path, &e, err);
}

int ul_cpio_add_file(struct ul_cpio *c, const struct ul_cpio_file *file, struct ul_error *err)
{
	struct ul_cpio_entry e = {.mode = S_IFREG | file->permissions,
				  .data = (uint8_t *)file->data,
				  .len = file->len,
				  .kind = file->kind,
				  .source = (char *)file->source};

	return add(c, file->path, &e, err);
}

const struct ul_cpio_entry *ul_cpio_find(const struct ul_cpio *c, const char *path)
{
	size_t at;

	if (path[0] != '/')
		return NULL;
	at = lower_bound(c, path + 1);
	return at < c->entries.n && !strcmp(c->entries.at[at].path, path + 1) ? &c->entries.at[at] : NULL;
}

int ul_cpio_write(const struct ul_cpio *c, struct ul_buffer *ret, struct ul_error *err)
{
	static char trailer[] = "TRAILER!!!";
	const struct ul_cpio_entry end = {.path = trailer};
	/* Header, trailer and final padding, then what each record takes at most. */
	size_t start = ret->len, room = 1024;

	for (size_t i = 0; i < c->entries.n; i++)
		room += 110 + strlen(c->entries.at[i].path) + 1 + c->entries.at[i].len + 6;
	if (ul_buffer_reserve(ret, room) < 0)
		return ul_error_nomem(err, "writing the cpio archive");
	for (size_t i = 0; i < c->entries.n; i++)
		write_record(ret, start, &c->entries.at[i], (uint32_t)i + 1);
	write_record(ret, start, &end, 0);
	pad(ret, start, 512);
	return 0;
}

void ul_cpio_free(struct ul_cpio *c)
{
	for (size_t i = 0; i < c->entries.n; i++) {
		free(c->entries.at[i].path);
		free(c->entries.at[i].source);
		free(c->entries.at[i].data);
	}
	ul_vector_free(&c->entries);
	*c = (struct ul_cpio){0};
}
