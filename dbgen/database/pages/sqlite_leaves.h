/*
 * The leaves of one b-tree, filled from left to right in memory.
 *
 * Leaves hold no page numbers (but for overflow chains), so a run of them is made before anybody knows
 * where in the file it will lie. In an index b-tree an entry between two leaves belongs to neither: it
 * goes into the page above. Here that is a divider, kept beside the run. A whole tree may be made of
 * several runs, one after the other; then each but the last ends with a divider.
 */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "dbgen/database/pages/sqlite_format.h"

/* The key above a leaf: in a table its greatest rowid, in an index the entry behind it. */
struct ul_divider {
	uint64_t rowid; /* table */
	uint32_t off;   /* index: the cell in dividers.bytes */
	uint32_t len;
};

struct ul_leaves {
	enum ul_sqlite_kind kind;       /* one of the two leaf kinds */
	uint32_t slack;                 /* bytes that stay free below the cells: what add may clobber */
	struct ul_buffer pages;         /* whole pages */
	struct ul_buffer dividers;      /* struct ul_divider */
	struct ul_buffer divider_bytes; /* cells as in a leaf */

	/* The open leaf. */
	uint8_t *page;
	uint32_t n;   /* cells */
	uint32_t top; /* offset of the lowest cell; 0: no leaf is open */
};

/*
 * Make room for the next cell, which is size bytes long: the address to write it to, valid until the
 * next call. NULL: no memory. rowid: of a table's row. (In an index it may be a divider's place.)
 */
uint8_t *ul_leaves_add_slow(struct ul_leaves *l, uint32_t size, uint64_t rowid);

/*
 * The common case inline. The `slack` bytes before the cell may be written to as well, as long as
 * that is done before the next call.
 */
static inline uint8_t *ul_leaves_add(struct ul_leaves *l, uint32_t size, uint64_t rowid)
{
	/* 2 for this cell's offset; the array of offsets begins at 8 */
	if (__builtin_expect(8 + 2 * l->n + 2 + size + l->slack > l->top, 0))
		return ul_leaves_add_slow(l, size, rowid);
	l->top -= size;
	ul_put_be16(l->page + 8 + 2 * l->n++, (uint16_t)l->top);
	return l->page + l->top;
}

/*
 * ul_leaves_next for a loop over short cells. What changes with each cell is kept in a local variable, so that the
 * compiler need not write it to memory for fear that a cell's bytes overlap it.
 */
struct ul_open_leaf {
	uint8_t *page;
	uint32_t n, top, slack;
};

static inline struct ul_open_leaf ul_leaves_borrow(const struct ul_leaves *l)
{
	return (struct ul_open_leaf){l->page, l->n, l->top, l->slack};
}

static inline void ul_leaves_return(struct ul_leaves *l, const struct ul_open_leaf *o)
{
	l->page = o->page;
	l->n = o->n;
	l->top = o->top;
}

/* Whether n cells of up to size bytes have room in the open leaf, so that ul_leaves_next makes it. */
static inline bool ul_leaves_fit(const struct ul_open_leaf *o, uint64_t n, uint32_t size)
{
	return 8 + 2 * o->n + o->slack + n * (2 + size) <= o->top;
}

static inline uint8_t *ul_leaves_next(struct ul_open_leaf *o, uint32_t size)
{
	o->top -= size;
	ul_put_be16(o->page + 8 + 2 * o->n++, (uint16_t)o->top);
	return o->page + o->top;
}

static inline uint8_t *ul_leaves_add_borrowed(struct ul_leaves *l, struct ul_open_leaf *o, uint32_t size,
					      uint64_t rowid)
{
	if (__builtin_expect(!ul_leaves_fit(o, 1, size), 0)) {
		uint8_t *at;

		ul_leaves_return(l, o);
		at = ul_leaves_add_slow(l, size, rowid);
		*o = ul_leaves_borrow(l);
		return at;
	}
	return ul_leaves_next(o, size);
}

/*
 * End the run: no further cell comes into it. rowid: the last row's. last: no run with a cell follows in this
 * tree; before another one, an index's run must not have a single cell. 0 or -ENOMEM.
 */
int ul_leaves_end(struct ul_leaves *l, uint64_t rowid, bool last);

static inline uint32_t ul_leaves_count(const struct ul_leaves *l)
{
	return (uint32_t)(l->pages.len / UL_SQLITE_PAGE);
}

static inline uint32_t ul_leaves_n_dividers(const struct ul_leaves *l)
{
	return (uint32_t)(l->dividers.len / sizeof(struct ul_divider));
}

/* Empty, ready for another run; the memory of pages is kept. Dividers are the caller's to move. */
void ul_leaves_reset(struct ul_leaves *l);
void ul_leaves_free(struct ul_leaves *l);
