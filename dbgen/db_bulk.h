/*
 * The bulk writer: Nix's database written bottom-up, page after page.
 *
 * 1. Units of paths (a batch of the manifest each) are turned into leaves of five b-trees by several threads.
 *    A unit's leaves are made in memory, then the unit waits for its turn: units take their pages'
 *    places in order, so the bytes do not depend on who was faster. Then it writes them.
 * 2. Meanwhile each batch's references are put aside, sorted into ranges of paths referred to. Groups of
 *    ranges are then turned into leaves of the reverse index in the same way (db_bulk_reverse.c).
 * 3. The small tables (db_bulk_tables.c), the pages above the leaves, page 1.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "dbgen/db_cells.h"
#include "dbgen/db_write.h"
#include "dbgen/sqlite_file.h"

/* Batches, so that each run of an index has two cells or none (see ul_leaves_end). */
struct ul_bulk_unit {
	uint32_t first_batch, n_batches;
	uint64_t first_row; /* of Refs: rowid of the first reference */
	uint64_t n_refs;
};

/* A reference, by where it leads: the path's number above, its row of Refs below. */
#define UL_BULK_PAIR(ref, row) ((uint64_t)(ref) << 32 | (row))

/* A batch's references by range of paths: those of range r are pairs[start[r]] .. pairs[start[r + 1]). */
struct ul_bulk_pairs {
	uint64_t *pairs;
	uint32_t *start;
};

struct ul_bulk {
	const struct ul_db_source *source;
	const struct ul_db_options *options;
	struct ul_sqlite_file file;
	struct ul_sqlite_tree tree[UL_N_TREES];
	uint32_t root[UL_N_TREES];
	unsigned int threads;

	struct ul_bulk_unit *units;
	uint32_t n_units, last_unit_with_refs;

	unsigned int range_shift; /* a path's range: its number >> range_shift */
	uint32_t n_ranges;
	struct ul_bulk_pairs *pairs; /* of each batch; NULL: with low_memory */
	uint64_t *range_refs;        /* references to each range */
	struct ul_bulk_group *groups;
	uint32_t first_group;       /* of this pass */
	struct ul_buffer collected; /* with low_memory: the pass's references, as pairs */

	/* Jobs of a phase: the next one to take up, and whose turn it is to place its pages. */
	atomic_uint next_job;
	uint32_t n_jobs, turn;
	pthread_mutex_t lock; /* guards turn, failed, *err, and what is done in a turn */
	pthread_cond_t turned;
	bool failed;
	struct ul_error *err;
};

/* What a thread has of its own in a phase. */
struct ul_bulk_thread {
	struct ul_bulk *bulk;
	struct ul_cells cells;
	struct ul_batch_reader *reader;
	struct ul_buffer counts, rows; /* of a group of ranges */
	struct ul_error err;
};

/* What a job returns when another one has failed. */
#define UL_BULK_STOP 1

/* Do job(thread, 0 .. n - 1) with up to bulk->threads threads. */
int ul_bulk_run(struct ul_bulk *bulk, uint32_t n,
		int (*job)(struct ul_bulk_thread *t, uint32_t number));

/*
 * Wait until the jobs before this one have had their turn; then what follows up to ul_bulk_turn_end is
 * done by this thread alone. False: another job has failed.
 */
bool ul_bulk_turn_begin(struct ul_bulk *bulk, uint32_t number);
void ul_bulk_turn_end(struct ul_bulk *bulk);

/* db_bulk_reverse.c: put aside a batch's references; write the leaves of the reverse index. */
int ul_bulk_put_aside(struct ul_bulk *bulk, uint32_t batch_number, const struct ul_batch *b,
		      uint32_t first_row);
int ul_bulk_reverse(struct ul_bulk *bulk);

/* db_bulk_tables.c: all tables but ValidPaths and Refs, then page 1. */
int ul_bulk_tables(struct ul_bulk *bulk);
