/*
 * Rows of a manifest as cells of SQLite pages: the b-trees of paths and references, in
 * memory. See sqlite_leaves.h for what a run is.
 */
#pragma once

#include "dbgen/database/rows/source.h"
#include "dbgen/database/pages/sqlite_leaves.h"

/* The contents of a run. They are made one after the other, in the same leaves' memory. */
enum ul_cells_content { UL_CELLS_OF_REFS, UL_CELLS_OF_PATHS, UL_CELLS_OF_REVERSE };

/* Where its b-trees are in `leaves`, in the order in which their pages lie in the file. */
enum {
	UL_CELLS_REFS = 0,      /* Refs */
	UL_CELLS_KEY = 1,       /* (referrer, reference) */
	UL_CELLS_PATHS = 0,     /* ValidPaths */
	UL_CELLS_PATH = 1,      /* its index by path */
	UL_CELLS_REFERENCE = 1, /* of Refs, by reference */
	UL_CELLS_N = 2
};

/* A cell of ValidPaths whose payload goes on in an overflow chain. */
struct ul_cells_fixup {
	uint32_t at;   /* offset of the 4-byte page number in the run's pages */
	uint32_t page; /* from 0, in overflow */
};

struct ul_cells {
	enum ul_cells_content content;
	struct ul_leaves leaves[UL_CELLS_N];
	struct ul_buffer overflow; /* pages of chains, see ul_sqlite_overflow_pages */
	struct ul_buffer fixups;   /* struct ul_cells_fixup */
	struct ul_buffer scratch;  /* a payload that is too long for its page */
	char *prefix;              /* "/nix/store/" */
	uint32_t prefix_len;
	char pairs[1024][2]; /* two digits of Nix base-32 for ten bits */
};

/* Enough for the leaves of a batch of a usual store. */
#define UL_CELLS_MEMORY ((size_t)1920 << 10)

/* memory: UL_CELLS_MEMORY bytes to begin with, which outlive the cells; NULL: none. 0 or -ENOMEM. */
int ul_cells_init(struct ul_cells *c, const char *store_dir, uint8_t *memory);
void ul_cells_free(struct ul_cells *c);

/* Empty, for a run of this content. */
void ul_cells_start(struct ul_cells *c, enum ul_cells_content content);

/*
 * The rows of ValidPaths of a batch, and their entries in the index by path if with_index. With added
 * paths, those that come before each path are put into the index too: from *added on. 0 or -ENOMEM.
 */
int ul_cells_add_paths(struct ul_cells *c, const struct ul_batch *b, bool with_index, const struct ul_db_added *added,
		       uint32_t *added_next);

/* The index entries of added paths *added_next .. end. */
int ul_cells_add_index(struct ul_cells *c, const struct ul_db_added *added, uint32_t *added_next, uint32_t end);

/* The references of a batch: two trees. first_row: rowid of the first, below 2^31 as all are. */
int ul_cells_add_refs(struct ul_cells *c, const struct ul_batch *b, uint32_t first_row);

/*
 * Entries of the reverse index for n paths from number `first` on: one for each row of Refs that leads to it.
 * Those of path first + i are rows[ends[i - 1]] .. rows[ends[i]), ascending; ends[-1] would be 0.
 */
int ul_cells_add_reverse(struct ul_cells *c, uint32_t first, const uint32_t *ends, const uint32_t *rows, uint32_t n);
