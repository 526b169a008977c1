/* The bulk writer's jobs: threads that make pages, and their places in the file; see bulk.h. */
#include <stdlib.h>

#include "dbgen/database/pages/bulk.h"

static const char what[] = "writing Nix's database";

/* The b-trees of each content; UL_TREE_NONE: its leaves stay empty. */
static const enum ul_db_tree trees[][UL_CELLS_N] = {
	[UL_CELLS_OF_REFS] = {UL_TREE_REFS, UL_TREE_REFS_KEY},
	[UL_CELLS_OF_PATHS] = {UL_TREE_VALID_PATHS, UL_TREE_VALID_PATHS_PATH},
	[UL_CELLS_OF_REVERSE] = {UL_TREE_NONE, UL_TREE_REFERENCE},
};

/* Where the pages lie. The overflow chains come behind the rows that they belong to. */
static int place(struct ul_bulk *bulk, struct ul_cells *c, uint32_t first[UL_CELLS_N + 1], struct ul_error *err)
{
	uint64_t n = c->overflow.len / UL_SQLITE_PAGE;
	int r;

	for (size_t i = 0; i < UL_CELLS_N; i++)
		n += ul_leaves_count(&c->leaves[i]);
	r = ul_sqlite_take(&bulk->file, n, &first[0], err);
	for (size_t i = 0; r == 0 && i < UL_CELLS_N; i++) {
		enum ul_db_tree tree = trees[c->content][i];

		first[i + 1] = first[i] + ul_leaves_count(&c->leaves[i]);
		if (tree != UL_TREE_NONE && ul_sqlite_tree_append(&bulk->tree[tree], &c->leaves[i], first[i]) < 0)
			r = ul_error_nomem(err, what);
	}
	return r;
}

static int write_cells(const struct ul_bulk *bulk, struct ul_cells *c, const uint32_t first[UL_CELLS_N + 1],
		       struct ul_error *err)
{
	const struct ul_cells_fixup *fixups = (const void *)c->fixups.data;
	uint32_t chains = first[UL_CELLS_N];
	int r = 0;

	for (size_t i = 0; i < c->fixups.len / sizeof(*fixups); i++)
		ul_put_be32(c->leaves[UL_CELLS_PATHS].pages.data + fixups[i].at,
			    ul_sqlite_page_number(chains + fixups[i].page));
	ul_sqlite_overflow_place(&c->overflow, chains);
	for (size_t i = 0; r == 0 && i < UL_CELLS_N; i++)
		r = ul_sqlite_write(&bulk->file, first[i], c->leaves[i].pages.data, ul_leaves_count(&c->leaves[i]),
				    err);
	if (r == 0)
		r = ul_sqlite_write(&bulk->file, chains, c->overflow.data, (uint32_t)(c->overflow.len / UL_SQLITE_PAGE),
				    err);
	return r;
}

/* What the job made whose turn it is; NULL: not done yet. */
static struct ul_bulk_cells *find_next(struct ul_bulk *bulk)
{
	for (unsigned int i = 0; i < bulk->n_cells; i++)
		if (bulk->cells[i].done && bulk->cells[i].number == bulk->turn)
			return &bulk->cells[i];
	return NULL;
}

/* Holding the lock, which is given up while pages are written. */
static int place_all(struct ul_bulk *bulk, struct ul_error *err)
{
	struct ul_bulk_cells *next;
	int r = 0;

	if (bulk->placing)
		return 0;
	bulk->placing = true;
	while (r == 0 && !bulk->failed && (next = find_next(bulk))) {
		uint32_t first[UL_CELLS_N + 1];

		pthread_mutex_unlock(&bulk->lock);
		r = place(bulk, &next->c, first, err);
		if (r == 0)
			r = write_cells(bulk, &next->c, first, err);
		pthread_mutex_lock(&bulk->lock);
		next->busy = next->done = false;
		bulk->turn++;
		pthread_cond_broadcast(&bulk->changed);
		ul_progress_report(bulk->options->progress, what, (uint64_t)bulk->file.n_pages * UL_SQLITE_PAGE, 0);
	}
	bulk->placing = false;
	return r;
}

/* Holding the lock. The others stop because of the first one that fails. */
static void fail(struct ul_bulk *bulk, const struct ul_error *err)
{
	if (bulk->failed)
		return;
	bulk->failed = true;
	if (bulk->err)
		*bulk->err = *err;
	pthread_cond_broadcast(&bulk->changed);
}

/* Holding the lock: the jobs that are known now. */
static void extend(struct ul_bulk *bulk)
{
	struct ul_error err = {0};
	uint32_t n = 0;

	bulk->extended = true;
	if (bulk->jobs->more(bulk, &n, &err) < 0)
		fail(bulk, &err);
	bulk->n_jobs += n;
	pthread_cond_broadcast(&bulk->changed);
}

/*
 * Holding the lock: the next job, and something to make it in. Jobs are given out in order and with what they
 * need, so the one whose turn it is can always be finished. NULL: no job is left, or one has failed.
 */
static struct ul_bulk_cells *take_job(struct ul_bulk *bulk)
{
	while (!bulk->failed && (bulk->next_job < bulk->n_jobs || !bulk->extended)) {
		if (bulk->next_job == bulk->n_jobs) {
			if (bulk->n_made == bulk->jobs->needed)
				extend(bulk);
			else
				pthread_cond_wait(&bulk->changed, &bulk->lock);
			continue;
		}
		/* From the front: few of them are used, and those are in the processor's cache. */
		for (unsigned int i = 0; i < bulk->n_cells; i++) {
			struct ul_bulk_cells *cells = &bulk->cells[i];

			if (cells->busy)
				continue;
			cells->busy = true;
			cells->number = bulk->next_job++;
			return cells;
		}
		pthread_cond_wait(&bulk->changed, &bulk->lock);
	}
	return NULL;
}

/* 0 or -ENOMEM. */
static int init_cells(const struct ul_bulk *bulk, struct ul_bulk_cells *cells)
{
	uint8_t *memory = bulk->cells_memory;
	int r;

	if (memory)
		memory += (size_t)(cells - bulk->cells) * UL_CELLS_MEMORY;
	r = ul_cells_init(&cells->c, bulk->source->store_dir, memory);
	cells->ready = r == 0;
	return r;
}

/* Make ready what is used for the first time. */
static int start_job(struct ul_bulk_thread *t, struct ul_bulk_cells *cells)
{
	const struct ul_db_source *s = t->bulk->source;

	if (!t->reader)
		t->reader = ul_batch_reader_new(s->manifest);
	if (!t->reader || (!cells->ready && init_cells(t->bulk, cells) < 0))
		return ul_error_nomem(&t->err, what);
	t->cells = &cells->c;
	return 0;
}

static void work(void *context, unsigned int i)
{
	struct ul_bulk *bulk = context;
	struct ul_bulk_thread *t = &bulk->thread[i];
	struct ul_bulk_cells *cells;
	int r = 0;

	t->bulk = bulk;
	pthread_mutex_lock(&bulk->lock);
	while (r == 0 && (cells = take_job(bulk))) {
		pthread_mutex_unlock(&bulk->lock);
		r = start_job(t, cells);
		if (r == 0)
			r = bulk->jobs->make(t, cells->number);
		pthread_mutex_lock(&bulk->lock);
		if (r < 0)
			break;
		cells->done = true;
		if (cells->number < bulk->jobs->needed && ++bulk->n_made == bulk->jobs->needed)
			pthread_cond_broadcast(&bulk->changed);
		r = place_all(bulk, &t->err);
	}
	if (r < 0)
		fail(bulk, &t->err);
	pthread_mutex_unlock(&bulk->lock);
}

int ul_bulk_run(struct ul_bulk *bulk, const struct ul_bulk_jobs *jobs)
{
	bulk->jobs = jobs;
	bulk->next_job = bulk->turn = bulk->n_made = 0;
	bulk->n_jobs = jobs->n;
	bulk->extended = !jobs->more;
	if (jobs->n > 0)
		ul_workers_run(jobs->n < bulk->threads ? jobs->n : bulk->threads, work, bulk);
	return bulk->failed ? -(int)(bulk->err ? bulk->err->code : UL_E_SYSTEM) : 0;
}
