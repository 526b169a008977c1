/*
 * The bulk writer: Nix's database written bottom-up, page after page.
 *
 * 1. Units of batches of the manifest are turned into leaves of b-trees by several threads, in memory: first the
 *    references (two trees), then the paths (two). Each batch's references are put aside
 *    besides, sorted into ranges of paths referred to.
 * 2. Groups of ranges are turned into leaves of the reverse index in the same way (bulk_reverse.c), as soon as
 *    all references are put aside and a thread has nothing else to do.
 * 3. The small tables (bulk_tables.c), the pages above the leaves, page 1.
 *
 * A thread hands in the pages that its job made. Pages take their places in the order of jobs, so the bytes do not
 * depend on which thread was faster. The kernel lets one thread at a time write to a file. So a thread that hands in
 * while no other writes, writes all pages that have their place; the others go on with the next job.
 */
#pragma once

#include <pthread.h>

#include "common/arena.h"
#include "common/workers.h"
#include "dbgen/database/pages/cells.h"
#include "dbgen/database/rows/options.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/database/rows/source.h"
#include "dbgen/database/pages/sqlite_file.h"

/* Batches enough that a run of an index of references never has a single cell (see ul_leaves_end). */
struct ul_bulk_unit {
	uint32_t first_batch, n_batches;
	uint64_t first_row; /* of Refs: rowid of the first reference */
	uint64_t n_refs;
};

/* A reference, by where it leads: the path's number above, its row of Refs below. */
#define UL_BULK_PAIR(ref, row) ((uint64_t)(ref) << 32 | (row))

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
	/*
	 * References by range of paths, one UL_BULK_PAIR for each row of Refs: those of batch k to range r are
	 * pairs[starts[k * (n_ranges + 2) + r]] up to the next start. NULL: with low_memory.
	 */
	uint64_t *pairs;
	uint32_t *starts;
	uint64_t *range_refs; /* references to each range */
	struct ul_bulk_group *groups;
	uint32_t first_group;       /* of this pass */
	struct ul_buffer collected; /* with low_memory: the pass's references, as pairs */

	struct ul_bulk_thread *thread; /* as many as threads */
	struct ul_bulk_cells *cells;   /* n_cells of them */
	unsigned int n_cells;
	struct ul_arena arena;
	uint8_t *cells_memory; /* UL_CELLS_MEMORY for each of cells, in the arena; or NULL */

	/* The jobs of a run. The lock guards all that follows, and the list of cells. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct ul_bulk_jobs *jobs;
	uint32_t next_job, n_jobs;
	uint32_t n_made; /* of the first jobs->needed */
	bool extended;
	uint32_t turn; /* the job whose pages are placed next */
	bool placing;  /* a thread is at it */
	bool failed;
	struct ul_error *err;
};

/* The memory that a job is made in, and waits in for its turn. */
struct ul_bulk_cells {
	struct ul_cells c;
	bool ready, done; /* initialised; made and handed in */
	bool busy;
	uint32_t number; /* of the job */
};

/* A thread's own things. */
struct ul_bulk_thread {
	struct ul_bulk *bulk;
	struct ul_cells *cells; /* of the job at hand, which starts them */
	struct ul_batch_reader *reader;
	struct ul_buffer counts, rows; /* of a group of ranges */
	struct ul_error err;
};

/*
 * Jobs 0 .. n - 1, and those that are known once the first `needed` of them are made. Threads that waited for all
 * to end before the next ones began lost a tenth: the last job of a phase, and the start of new threads.
 */
struct ul_bulk_jobs {
	uint32_t n;
	int (*make)(struct ul_bulk_thread *t, uint32_t number);
	uint32_t needed;
	/* Called once, with the lock held. NULL: there are no more. */
	int (*more)(struct ul_bulk *bulk, uint32_t *ret_n, struct ul_error *err);
};

/* Make all jobs with up to bulk->threads threads, and place and write what they make. */
int ul_bulk_run(struct ul_bulk *bulk, const struct ul_bulk_jobs *jobs);

/*
 * bulk_reverse.c: put aside a batch's references, batches in any order; when all are, ul_bulk_groups makes groups
 * of ranges, and ul_bulk_do_group a group's leaves of the reverse index. With low_memory: ul_bulk_reverse_in_passes.
 */
int ul_bulk_prepare_reverse(struct ul_bulk *bulk);
void ul_bulk_free_reverse(struct ul_bulk *bulk);
void ul_bulk_put_aside(struct ul_bulk *bulk, uint32_t batch_number, const struct ul_batch *b, uint32_t first_row);
int ul_bulk_groups(struct ul_bulk *bulk, uint32_t *ret_n, struct ul_error *err);
int ul_bulk_do_group(struct ul_bulk_thread *t, uint32_t number);
int ul_bulk_reverse_in_passes(struct ul_bulk *bulk);

/* bulk_tables.c: all tables but ValidPaths and Refs, then page 1. */
int ul_bulk_tables(struct ul_bulk *bulk);
