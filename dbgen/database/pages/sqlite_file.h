/*
 * A SQLite database file that is written once, from leaves to roots: page numbers, writes, the pages above the
 * leaves, the header. See sqlite_format.h for the format.
 *
 * Pages are counted by index, from 0 and without gap; only ul_sqlite_page_number knows of the page that
 * is never used. Index 0 is page 1, written last.
 */
#pragma once

#include "common/error.h"
#include "dbgen/database/pages/sqlite_leaves.h"

struct ul_sqlite_file {
	int fd;
	const char *name; /* for messages */
	uint32_t n_pages; /* given out so far */
};

/* Start with page 1 given out. */
void ul_sqlite_file_init(struct ul_sqlite_file *f, int fd, const char *name);

/* Give out n consecutive indexes. Not safe against another thread. */
int ul_sqlite_take(struct ul_sqlite_file *f, uint64_t n, uint32_t *ret_first, struct ul_error *err);

/* Write n pages to consecutive indexes. Safe from several threads. */
int ul_sqlite_write(const struct ul_sqlite_file *f, uint32_t index, const void *pages, uint32_t n,
		    struct ul_error *err);

/* A b-tree whose leaves are placed, run after run. */
struct ul_sqlite_tree {
	enum ul_sqlite_kind kind;  /* of its leaves */
	struct ul_buffer children; /* struct ul_sqlite_child */
	struct ul_buffer dividers; /* bytes of their cells */
};

struct ul_sqlite_child {
	uint32_t page;         /* index */
	struct ul_divider key; /* off is an offset in the tree's dividers */
};

/* The run's pages lie from index first on. Takes nothing away from l. 0 or -ENOMEM. */
int ul_sqlite_tree_append(struct ul_sqlite_tree *t, const struct ul_leaves *l, uint32_t first);

/* Write the pages above the leaves. *ret_root: the number of the root page. Frees t's memory. */
int ul_sqlite_tree_finish(struct ul_sqlite_tree *t, struct ul_sqlite_file *f, uint32_t *ret_root, struct ul_error *err);
void ul_sqlite_tree_free(struct ul_sqlite_tree *t);

/*
 * Page 1: the header and the root of sqlite_schema, whose cells (leaf table cells, in order of rowid from
 * 1) are given. The file's size in pages is what was given out when this is called.
 */
struct ul_sqlite_cell {
	const uint8_t *bytes;
	uint32_t len;
};
int ul_sqlite_finish(struct ul_sqlite_file *f, const struct ul_sqlite_cell *schema, uint32_t n, struct ul_error *err);

/* Write the pages of an overflow chain for these bytes. *ret: the number of its first page. */
int ul_sqlite_overflow(struct ul_sqlite_file *f, const uint8_t *bytes, size_t len, uint32_t *ret, struct ul_error *err);

/* The pages of an overflow chain, appended to pages; next numbers counted from 1 within pages. */
int ul_sqlite_overflow_pages(struct ul_buffer *pages, const uint8_t *bytes, size_t len);

/* Turn these next numbers into page numbers, once the pages' place is known: index is that of the first. */
void ul_sqlite_overflow_place(struct ul_buffer *pages, uint32_t first);
