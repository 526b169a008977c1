/* Leaves of b-trees, from left to right; see sqlite_leaves.h. */
#include "dbgen/database/pages/sqlite_leaves.h"

#include <errno.h>

#define LEAF_HEADER 8U

/* Write the header of the open leaf and clear its free space: no byte of the file is left to chance. */
static void close_leaf(struct ul_leaves *l)
{
	uint32_t free_start = LEAF_HEADER + 2 * l->n;

	l->page[0] = (uint8_t)l->kind;
	ul_put_be16(l->page + 1, 0);
	ul_put_be16(l->page + 3, (uint16_t)l->n);
	ul_put_be16(l->page + 5, (uint16_t)l->top);
	l->page[7] = 0;
	memset(l->page + free_start, 0, l->top - free_start);
	l->page = NULL;
	l->n = l->top = 0;
}

static int open_leaf(struct ul_leaves *l)
{
	if (ul_buffer_reserve(&l->pages, UL_SQLITE_PAGE) < 0)
		return -ENOMEM;
	l->page = l->pages.data + l->pages.len;
	l->pages.len += UL_SQLITE_PAGE;
	l->n = 0;
	l->top = UL_SQLITE_PAGE;
	return 0;
}

static int add_divider(struct ul_leaves *l, uint64_t rowid, uint32_t size)
{
	struct ul_divider d = {.rowid = rowid, .off = (uint32_t)l->divider_bytes.len, .len = size};

	return l->divider_bytes.len > UINT32_MAX - size || ul_buffer_append(&l->dividers, &d, sizeof(d)) < 0 ||
			       ul_buffer_reserve(&l->divider_bytes, size) < 0
		       ? -ENOMEM
		       : 0;
}

uint8_t *ul_leaves_add_slow(struct ul_leaves *l, uint32_t size, uint64_t rowid)
{
	uint8_t *at;

	if (l->top > 0 && LEAF_HEADER + 2 * l->n + 2 + size + l->slack > l->top) {
		close_leaf(l);
		if (l->kind == UL_SQLITE_LEAF_INDEX) {
			/* The slack lies before the divider too. */
			if (ul_buffer_reserve(&l->divider_bytes, (size_t)size + l->slack) < 0)
				return NULL;
			l->divider_bytes.len += l->slack;
			if (add_divider(l, 0, size) < 0)
				return NULL;
			at = l->divider_bytes.data + l->divider_bytes.len;
			l->divider_bytes.len += size;
			return at;
		}
		/* Rows come in order, so the one before this was the greatest of its leaf. */
		if (add_divider(l, rowid - 1, 0) < 0)
			return NULL;
	}
	if (l->top == 0 && open_leaf(l) < 0)
		return NULL;
	return ul_leaves_add(l, size, rowid);
}

/* The last cell of leaf `page` becomes a divider. Its size is what lies between it and the one before. */
static int pop_to_divider(struct ul_leaves *l, uint8_t *page)
{
	uint32_t n = ul_get_be16(page + 3), top = ul_get_be16(page + 5);
	uint32_t end = n > 1 ? ul_get_be16(page + LEAF_HEADER + 2 * (n - 2)) : UL_SQLITE_PAGE;
	uint32_t size = end - top;

	if (add_divider(l, 0, size) < 0 || ul_buffer_append(&l->divider_bytes, page + top, size) < 0)
		return -ENOMEM;
	memset(page + top, 0, size);
	ul_put_be16(page + LEAF_HEADER + 2 * (n - 1), 0);
	ul_put_be16(page + 3, (uint16_t)(n - 1));
	ul_put_be16(page + 5, (uint16_t)end);
	return 0;
}

/* The last divider goes into a leaf of its own, and the leaf before gives a divider instead. */
static int divider_to_leaf(struct ul_leaves *l)
{
	struct ul_divider d;
	uint8_t *at;

	l->dividers.len -= sizeof(d);
	memcpy(&d, l->dividers.data + l->dividers.len, sizeof(d));
	if (pop_to_divider(l, l->pages.data + l->pages.len - UL_SQLITE_PAGE) < 0 || open_leaf(l) < 0)
		return -ENOMEM;
	at = ul_leaves_add(l, d.len, 0);
	/* Dividers' bytes only grow, so those of the one taken back are still there. */
	memcpy(at, l->divider_bytes.data + d.off, d.len);
	close_leaf(l);
	return 0;
}

int ul_leaves_end(struct ul_leaves *l, uint64_t rowid, bool last)
{
	uint32_t n = l->n;
	bool open = l->top > 0;

	if (l->pages.len == 0)
		return 0;
	if (open)
		close_leaf(l);
	if (l->kind == UL_SQLITE_LEAF_TABLE)
		return add_divider(l, rowid, 0);
	if (last)
		return open ? 0 : divider_to_leaf(l);
	if (!open)
		return 0;
	if (n > 1)
		return pop_to_divider(l, l->pages.data + l->pages.len - UL_SQLITE_PAGE);
	/* One cell: it moves up, and the leaf gets what was the divider before it. */
	if (l->dividers.len == 0)
		return -EINVAL;
	{
		uint8_t *single = l->pages.data + l->pages.len - UL_SQLITE_PAGE;
		uint32_t top = ul_get_be16(single + 5), size = UL_SQLITE_PAGE - top;
		uint8_t cell[UL_SQLITE_PAGE];

		memcpy(cell, single + top, size);
		l->pages.len -= UL_SQLITE_PAGE;
		if (divider_to_leaf(l) < 0 || add_divider(l, 0, size) < 0 ||
		    ul_buffer_append(&l->divider_bytes, cell, size) < 0)
			return -ENOMEM;
	}
	return 0;
}

void ul_leaves_reset(struct ul_leaves *l)
{
	l->pages.len = 0;
	l->dividers.len = 0;
	l->divider_bytes.len = 0;
	l->page = NULL;
	l->n = l->top = 0;
}

void ul_leaves_free(struct ul_leaves *l)
{
	ul_buffer_free(&l->pages);
	ul_buffer_free(&l->dividers);
	ul_buffer_free(&l->divider_bytes);
	*l = (struct ul_leaves){0};
}
