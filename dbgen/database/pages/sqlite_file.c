/* Pages of a SQLite file: places, writes, overflow chains, the header; see sqlite_file.h. */
#include "dbgen/database/pages/sqlite_file.h"

#include <errno.h>

#include "common/file.h"

static const char what[] = "writing Nix's database";

/*
 * Fixed values, so that the bytes do not depend on the library: the change counter, and as the version of
 * SQLite that wrote the file the one whose format was followed.
 */
#define CHANGE_COUNTER 1
#define WROTE_VERSION  3040001
#define FILE_VERSION   1 /* rollback journal: opens on a read-only mount as it is */
#define SCHEMA_FORMAT  4
#define UTF8           1

#define INTERIOR_HEADER 12U
#define CONTENT         (UL_SQLITE_PAGE - 4) /* of an overflow page */

void ul_sqlite_file_init(struct ul_sqlite_file *f, int fd, const char *name)
{
	*f = (struct ul_sqlite_file){.fd = fd, .name = name, .n_pages = 1};
}

int ul_sqlite_take(struct ul_sqlite_file *f, uint64_t n, uint32_t *ret_first, struct ul_error *err)
{
	/* The greatest page number of the format is 2^32 - 2. */
	if (n > UINT32_MAX - 2 - (uint64_t)f->n_pages)
		return ul_error_set(err, UL_E_DATABASE, what, f->name, NULL, "more pages than SQLite can number");
	*ret_first = f->n_pages;
	f->n_pages += (uint32_t)n;
	return 0;
}

static int write_run(const struct ul_sqlite_file *f, uint32_t index, const uint8_t *pages, uint32_t n,
		     struct ul_error *err)
{
	uint64_t offset = ((uint64_t)ul_sqlite_page_number(index) - 1) * UL_SQLITE_PAGE;
	int r = ul_pwrite_full(f->fd, pages, (size_t)n * UL_SQLITE_PAGE, offset);
	const char *todo = ul_errno_is_full(-r) ? "Make room there, or give the machine more memory." : NULL;

	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, f->name, todo, -r) : 0;
}

int ul_sqlite_write(const struct ul_sqlite_file *f, uint32_t index, const void *pages, uint32_t n, struct ul_error *err)
{
	const uint8_t *at = pages;

	if (index < UL_SQLITE_LOCK_PAGE && n > UL_SQLITE_LOCK_PAGE - index) {
		uint32_t before = UL_SQLITE_LOCK_PAGE - index;
		int r = write_run(f, index, at, before, err);

		if (r < 0)
			return r;
		at += (size_t)before * UL_SQLITE_PAGE;
		index += before;
		n -= before;
	}
	return n > 0 ? write_run(f, index, at, n, err) : 0;
}

/* ---- overflow chains ---- */

int ul_sqlite_overflow_pages(struct ul_buffer *pages, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		uint32_t number = (uint32_t)(pages->len / UL_SQLITE_PAGE) + 1;
		size_t part = len < CONTENT ? len : CONTENT;
		uint8_t *at;

		if (ul_buffer_reserve(pages, UL_SQLITE_PAGE) < 0)
			return -ENOMEM;
		at = pages->data + pages->len;
		pages->len += UL_SQLITE_PAGE;
		ul_put_be32(at, part < len ? number + 1 : 0);
		memcpy(at + 4, bytes, part);
		memset(at + 4 + part, 0, CONTENT - part);
		bytes += part;
		len -= part;
	}
	return 0;
}

void ul_sqlite_overflow_place(struct ul_buffer *pages, uint32_t first)
{
	for (size_t at = 0; at < pages->len; at += UL_SQLITE_PAGE) {
		uint32_t next = ul_get_be32(pages->data + at);

		if (next > 0)
			ul_put_be32(pages->data + at, ul_sqlite_page_number(first + next - 1));
	}
}

int ul_sqlite_overflow(struct ul_sqlite_file *f, const uint8_t *bytes, size_t len, uint32_t *ret, struct ul_error *err)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer pages = {0};
	uint32_t first = 0, n;
	int r;

	if (ul_sqlite_overflow_pages(&pages, bytes, len) < 0)
		return ul_error_nomem(err, what);
	n = (uint32_t)(pages.len / UL_SQLITE_PAGE);
	r = ul_sqlite_take(f, n, &first, err);
	if (r < 0)
		return r;
	ul_sqlite_overflow_place(&pages, first);
	r = ul_sqlite_write(f, first, pages.data, n, err);
	if (r == 0)
		*ret = ul_sqlite_page_number(first);
	return r;
}

/* ---- above the leaves ---- */

int ul_sqlite_tree_append(struct ul_sqlite_tree *t, const struct ul_leaves *l, uint32_t first)
{
	const struct ul_divider *d = (const struct ul_divider *)(const void *)l->dividers.data;
	uint32_t n = ul_leaves_n_dividers(l);
	size_t base = t->dividers.len;

	if (base + l->divider_bytes.len > UINT32_MAX ||
	    ul_buffer_append(&t->dividers, l->divider_bytes.data, l->divider_bytes.len) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < ul_leaves_count(l); i++) {
		struct ul_sqlite_child child = {.page = first + i};

		/* No divider follows the last leaf of an index. */
		if (i < n)
			child.key = d[i];
		child.key.off += (uint32_t)base;
		if (ul_buffer_append(&t->children, &child, sizeof(child)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Bytes of the interior cell of a child, with its place in the array of offsets. */
static size_t cell_size(const struct ul_sqlite_tree *t, const struct ul_sqlite_child *c)
{
	return 2 + 4 + (t->kind == UL_SQLITE_LEAF_TABLE ? ul_varint_size(c->key.rowid) : c->key.len);
}

/* One interior page (zeroed) whose content begins at `start`: children c[0] .. c[n - 1], n > 1. */
static void fill_interior(const struct ul_sqlite_tree *t, uint8_t *page, uint32_t start,
			  const struct ul_sqlite_child *c, uint32_t n)
{
	bool table = t->kind == UL_SQLITE_LEAF_TABLE;
	uint8_t *header = page + start;
	uint32_t top = UL_SQLITE_PAGE;

	for (uint32_t i = 0; i + 1 < n; i++) {
		top -= (uint32_t)cell_size(t, &c[i]) - 2;
		ul_put_be16(header + INTERIOR_HEADER + 2 * i, (uint16_t)top);
		ul_put_be32(page + top, ul_sqlite_page_number(c[i].page));
		if (table)
			ul_put_varint(page + top + 4, c[i].key.rowid);
		else
			memcpy(page + top + 4, t->dividers.data + c[i].key.off, c[i].key.len);
	}
	header[0] = table ? UL_SQLITE_INTERIOR_TABLE : UL_SQLITE_INTERIOR_INDEX;
	ul_put_be16(header + 3, (uint16_t)(n - 1));
	ul_put_be16(header + 5, (uint16_t)top);
	ul_put_be32(header + 8, ul_sqlite_page_number(c[n - 1].page));
}

/*
 * How many of the n children the next page takes: as many as fit, but the last one must not be left alone, since a page
 * needs a cell beside its right-most child. (Three children always fit.)
 */
static uint32_t children_of_page(const struct ul_sqlite_tree *t, const struct ul_sqlite_child *c, uint32_t n)
{
	size_t size = INTERIOR_HEADER;
	uint32_t taken = 1;

	while (taken < n && size + cell_size(t, &c[taken - 1]) <= UL_SQLITE_PAGE)
		size += cell_size(t, &c[taken++ - 1]);
	return n - taken == 1 ? taken - 1 : taken;
}

static int build_level(struct ul_sqlite_tree *t, struct ul_sqlite_file *f, struct ul_error *err)
{
	const struct ul_sqlite_child *c = (const struct ul_sqlite_child *)(const void *)t->children.data;
	uint32_t n = (uint32_t)(t->children.len / sizeof(*c)), first = 0;
	UL_CLEANUP(ul_buffer_free) struct ul_buffer pages = {0};
	struct ul_buffer parents = {0};
	uint32_t n_pages = 0, i = 0;
	int r = 0;

	do { /* once at least: a level has a page */
		uint32_t taken = children_of_page(t, c + i, n - i);
		struct ul_sqlite_child parent = {.page = n_pages, .key = c[i + taken - 1].key};

		if (ul_buffer_reserve(&pages, UL_SQLITE_PAGE) < 0 ||
		    ul_buffer_append(&parents, &parent, sizeof(parent)) < 0) {
			r = ul_error_nomem(err, what);
			break;
		}
		memset(pages.data + pages.len, 0, UL_SQLITE_PAGE);
		fill_interior(t, pages.data + pages.len, 0, c + i, taken);
		pages.len += UL_SQLITE_PAGE;
		i += taken;
		n_pages++;
	} while (i < n);
	if (r == 0)
		r = ul_sqlite_take(f, n_pages, &first, err);
	if (r == 0)
		r = ul_sqlite_write(f, first, pages.data, n_pages, err);
	for (i = 0; r == 0 && i < n_pages; i++)
		((struct ul_sqlite_child *)(void *)parents.data)[i].page += first;
	ul_buffer_free(&t->children);
	t->children = parents;
	return r;
}

static int empty_tree(const struct ul_sqlite_tree *t, struct ul_sqlite_file *f, uint32_t *ret_index,
		      struct ul_error *err)
{
	uint8_t page[UL_SQLITE_PAGE] = {0};
	int r = ul_sqlite_take(f, 1, ret_index, err);

	page[0] = (uint8_t)t->kind;
	ul_put_be16(page + 5, UL_SQLITE_PAGE);
	return r < 0 ? r : ul_sqlite_write(f, *ret_index, page, 1, err);
}

int ul_sqlite_tree_finish(struct ul_sqlite_tree *t, struct ul_sqlite_file *f, uint32_t *ret_root, struct ul_error *err)
{
	uint32_t index = 0;
	int r = 0;

	if (t->children.len == 0) {
		r = empty_tree(t, f, &index, err);
	} else {
		while (r == 0 && t->children.len > sizeof(struct ul_sqlite_child))
			r = build_level(t, f, err);
		if (r == 0)
			index = ((struct ul_sqlite_child *)(void *)t->children.data)->page;
	}
	ul_sqlite_tree_free(t);
	if (r == 0)
		*ret_root = ul_sqlite_page_number(index);
	return r;
}

void ul_sqlite_tree_free(struct ul_sqlite_tree *t)
{
	ul_buffer_free(&t->children);
	ul_buffer_free(&t->dividers);
}

/* ---- page 1 ---- */

static void fill_header(uint8_t *page, uint32_t n_pages)
{
	memcpy(page, "SQLite format 3", 16);
	ul_put_be16(page + 16, UL_SQLITE_PAGE);
	page[18] = page[19] = FILE_VERSION;
	page[21] = 64; /* payload fractions: fixed by the format */
	page[22] = page[23] = 32;
	ul_put_be32(page + 24, CHANGE_COUNTER);
	ul_put_be32(page + 28, n_pages);
	ul_put_be32(page + 40, 1); /* schema cookie */
	ul_put_be32(page + 44, SCHEMA_FORMAT);
	ul_put_be32(page + 56, UTF8);
	ul_put_be32(page + 92, CHANGE_COUNTER); /* else the size at 28 does not count */
	ul_put_be32(page + 96, WROTE_VERSION);
}

/* All of sqlite_schema in page 1; false: it does not fit. */
static bool schema_in_page(uint8_t *page, const struct ul_sqlite_cell *cells, uint32_t n)
{
	uint8_t *header = page + UL_SQLITE_HEADER;
	size_t top = UL_SQLITE_PAGE, size = 0;

	for (uint32_t i = 0; i < n; i++)
		size += 2 + (size_t)cells[i].len;
	if (UL_SQLITE_HEADER + 8 + size > UL_SQLITE_PAGE)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		top -= cells[i].len;
		memcpy(page + top, cells[i].bytes, cells[i].len);
		ul_put_be16(header + 8 + 2 * i, (uint16_t)top);
	}
	header[0] = UL_SQLITE_LEAF_TABLE;
	ul_put_be16(header + 3, (uint16_t)n);
	ul_put_be16(header + 5, (uint16_t)top);
	return true;
}

/* The rows in leaves elsewhere, their parent in page 1. They are few: one interior page holds all. */
static int schema_in_leaves(struct ul_sqlite_file *f, uint8_t *page, const struct ul_sqlite_cell *cells, uint32_t n,
			    struct ul_error *err)
{
	UL_CLEANUP(ul_leaves_free)
	struct ul_leaves leaves = {.kind = UL_SQLITE_LEAF_TABLE};
	UL_CLEANUP(ul_sqlite_tree_free)
	struct ul_sqlite_tree tree = {.kind = UL_SQLITE_LEAF_TABLE};
	uint32_t first = 0;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *at = ul_leaves_add_slow(&leaves, cells[i].len, (uint64_t)i + 1);

		if (!at)
			return ul_error_nomem(err, what);
		memcpy(at, cells[i].bytes, cells[i].len);
	}
	if (ul_leaves_end(&leaves, n, true) < 0)
		return ul_error_nomem(err, what);
	r = ul_sqlite_take(f, ul_leaves_count(&leaves), &first, err);
	if (r == 0)
		r = ul_sqlite_write(f, first, leaves.pages.data, ul_leaves_count(&leaves), err);
	if (r < 0)
		return r;
	if (ul_sqlite_tree_append(&tree, &leaves, first) < 0)
		return ul_error_nomem(err, what);
	fill_interior(&tree, page, UL_SQLITE_HEADER, (const struct ul_sqlite_child *)(const void *)tree.children.data,
		      ul_leaves_count(&leaves));
	return 0;
}

int ul_sqlite_finish(struct ul_sqlite_file *f, const struct ul_sqlite_cell *schema, uint32_t n, struct ul_error *err)
{
	uint8_t page[UL_SQLITE_PAGE] = {0};

	if (!schema_in_page(page, schema, n)) {
		int r = schema_in_leaves(f, page, schema, n, err);

		if (r < 0)
			return r;
	}
	fill_header(page, ul_sqlite_page_number(f->n_pages - 1));
	return ul_sqlite_write(f, 0, page, 1, err);
}
