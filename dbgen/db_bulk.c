/* The bulk writer's phases, threads and turns; see db_bulk.h. */
#include "dbgen/db_bulk.h"

#include <stdlib.h>
#include <unistd.h>

#include "dbgen/db_added.h"

static const char what[] = "writing Nix's database";

#define MAX_THREADS 64
#define MAX_ROWS    INT32_MAX /* of Refs: the cells' integers have 31 bits */

/* ---- threads and turns ---- */

bool ul_bulk_turn_begin(struct ul_bulk *bulk, uint32_t number)
{
	pthread_mutex_lock(&bulk->lock);
	while (bulk->turn != number && !bulk->failed)
		pthread_cond_wait(&bulk->turned, &bulk->lock);
	if (!bulk->failed)
		return true;
	pthread_mutex_unlock(&bulk->lock);
	return false;
}

void ul_bulk_turn_end(struct ul_bulk *bulk)
{
	ul_progress_report(bulk->options->progress, "writing the database",
			   (uint64_t)bulk->file.n_pages * UL_SQLITE_PAGE, 0);
	bulk->turn++;
	pthread_cond_broadcast(&bulk->turned);
	pthread_mutex_unlock(&bulk->lock);
}

struct work {
	struct ul_bulk *bulk;
	int (*job)(struct ul_bulk_thread *t, uint32_t number);
};

static void report_failure(struct ul_bulk *bulk, const struct ul_error *err)
{
	pthread_mutex_lock(&bulk->lock);
	/* The others fail because of the first one, or not at all. */
	if (!bulk->failed && bulk->err)
		*bulk->err = *err;
	bulk->failed = true;
	pthread_cond_broadcast(&bulk->turned);
	pthread_mutex_unlock(&bulk->lock);
}

static void *work(void *argument)
{
	const struct work *w = argument;
	struct ul_bulk *bulk = w->bulk;
	struct ul_bulk_thread t = {.bulk = bulk};
	uint32_t number;
	int r = 0;

	t.reader = ul_batch_reader_new(bulk->source->manifest);
	if (!t.reader || ul_cells_init(&t.cells, bulk->source->store_dir) < 0)
		r = ul_error_nomem(&t.err, what);
	while (r == 0 && (number = atomic_fetch_add(&bulk->next_job, 1)) < bulk->n_jobs)
		r = w->job(&t, number);
	if (r < 0)
		report_failure(bulk, &t.err);
	ul_cells_free(&t.cells);
	ul_batch_reader_free(t.reader);
	ul_buffer_free(&t.counts);
	ul_buffer_free(&t.rows);
	return NULL;
}

int ul_bulk_run(struct ul_bulk *bulk, uint32_t n,
		int (*job)(struct ul_bulk_thread *t, uint32_t number))
{
	struct work w = {bulk, job};
	pthread_t threads[MAX_THREADS];
	unsigned int started = 0;

	bulk->n_jobs = n;
	bulk->turn = 0;
	atomic_store(&bulk->next_job, 0);
	/* A thread that does not start is no failure: the others do its jobs. */
	while (started + 1 < bulk->threads && started + 1 < n &&
	       pthread_create(&threads[started], NULL, work, &w) == 0)
		started++;
	work(&w);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return bulk->failed ? -(int)(bulk->err ? bulk->err->code : UL_E_SYSTEM) : 0;
}

/* ---- units ---- */

/*
 * A batch is a unit, but one whose paths have a single reference takes in the next: its run of an
 * index would have one cell.
 */
static int make_units(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;
	uint64_t row = 1;

	bulk->units = calloc((size_t)s->n_batches + 1, sizeof(*bulk->units));
	if (!bulk->units)
		return ul_error_nomem(bulk->err, what);
	for (uint32_t k = 0; k < s->n_batches; k++) {
		struct ul_bulk_unit *unit = &bulk->units[bulk->n_units];
		uint64_t n = ul_db_source_batch_refs(s, k);

		if (unit->n_batches == 0)
			*unit = (struct ul_bulk_unit){.first_batch = k, .first_row = row};
		unit->n_batches++;
		unit->n_refs += n;
		row += n;
		if (unit->n_refs != 1 || k + 1 == s->n_batches) {
			if (unit->n_refs > 0)
				bulk->last_unit_with_refs = bulk->n_units;
			bulk->n_units++;
		}
	}
	return 0;
}

/* The index by path is made with the manifest's units; without any, with the added paths' first. */
static uint32_t units_with_index(const struct ul_bulk *bulk)
{
	uint32_t batches = ul_manifest_n_batches(bulk->source->manifest), n = 0;

	while (n < bulk->n_units && bulk->units[n].first_batch < batches)
		n++;
	return n;
}

/* The first added path that comes behind `number` paths of the manifest. */
static uint32_t added_from(const struct ul_db_added *a, uint32_t number)
{
	uint32_t low = 0, high = a->all.n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (a->before[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_batch(struct ul_bulk_thread *t, const struct ul_batch *b, uint32_t batch_number,
		     uint32_t row, uint32_t *added_next)
{
	const struct ul_db_source *s = t->bulk->source;
	bool of_manifest = b->first < s->n_manifest;

	if (of_manifest && s->added && *added_next == UINT32_MAX)
		*added_next = added_from(s->added, b->first);
	if (ul_cells_add_paths(&t->cells, b, of_manifest, s->added, added_next) < 0 ||
	    ul_cells_add_refs(&t->cells, b, row) < 0 ||
	    ul_bulk_put_aside(t->bulk, batch_number, b, row) < 0)
		return ul_error_nomem(&t->err, what);
	return 0;
}

/* Fill the thread's cells with all of a unit. */
static int build_unit(struct ul_bulk_thread *t, uint32_t number)
{
	const struct ul_db_source *s = t->bulk->source;
	const struct ul_bulk_unit *unit = &t->bulk->units[number];
	uint32_t last = units_with_index(t->bulk), added_next = UINT32_MAX, end = 0;
	uint64_t row = unit->first_row;

	ul_cells_reset(&t->cells);
	for (uint32_t k = unit->first_batch; k < unit->first_batch + unit->n_batches; k++) {
		struct ul_batch b;
		int r = ul_db_source_read_batch(s, t->reader, k, UL_COL_ALL, &b, &t->err);

		if (r == 0)
			r = add_batch(t, &b, k, (uint32_t)row, &added_next);
		if (r < 0)
			return r;
		row += b.ref_off[b.n] - b.ref_off[0];
		end = b.first + b.n;
		if (t->bulk->options->low_memory && k < ul_manifest_n_batches(s->manifest))
			ul_manifest_forget(s->manifest, k);
	}
	if (s->added && number + 1 == (last > 0 ? last : 1)) {
		if (added_next == UINT32_MAX)
			added_next = 0;
		if (ul_cells_add_index(&t->cells, s->added, &added_next, s->added->all.n) < 0)
			return ul_error_nomem(&t->err, what);
	}
	for (unsigned int i = 0; i < UL_CELLS_N; i++) {
		bool of_refs = i != UL_CELLS_PATHS && i != UL_CELLS_PATH;
		bool is_last =
			of_refs ? number >= t->bulk->last_unit_with_refs : number + 1 >= last;

		if (ul_leaves_end(&t->cells.leaves[i], i == UL_CELLS_REFS ? row - 1 : end,
				  is_last) < 0)
			return ul_error_nomem(&t->err, what);
	}
	return 0;
}

static const enum ul_db_tree tree_of[UL_CELLS_N] = {
	[UL_CELLS_PATHS] = UL_TREE_VALID_PATHS, [UL_CELLS_PATH] = UL_TREE_VALID_PATHS_PATH,
	[UL_CELLS_REFS] = UL_TREE_REFS,         [UL_CELLS_KEY] = UL_TREE_REFS_KEY,
	[UL_CELLS_REFERRER] = UL_TREE_REFERRER,
};

/* In the unit's turn: where its pages lie. The overflow chains come behind the rows they belong to. */
static int place_unit(struct ul_bulk_thread *t, uint32_t first[UL_CELLS_N + 1])
{
	uint64_t n = t->cells.overflow.len / UL_SQLITE_PAGE;
	struct ul_bulk *bulk = t->bulk;
	int r;

	for (size_t i = 0; i < UL_CELLS_N; i++)
		n += ul_leaves_count(&t->cells.leaves[i]);
	r = ul_sqlite_take(&bulk->file, n, &first[0], &t->err);
	for (size_t i = 0; r == 0 && i < UL_CELLS_N; i++) {
		first[i + 1] = first[i] + ul_leaves_count(&t->cells.leaves[i]);
		if (ul_sqlite_tree_append(&bulk->tree[tree_of[i]], &t->cells.leaves[i], first[i]) <
		    0)
			r = ul_error_nomem(&t->err, what);
	}
	return r;
}

static int write_unit(struct ul_bulk_thread *t, const uint32_t first[UL_CELLS_N + 1])
{
	const struct ul_sqlite_file *f = &t->bulk->file;
	const struct ul_cells_fixup *fixups = (const void *)t->cells.fixups.data;
	uint32_t chains = first[UL_CELLS_N];
	int r = 0;

	for (size_t i = 0; i < t->cells.fixups.len / sizeof(*fixups); i++)
		ul_put_be32(t->cells.leaves[UL_CELLS_PATHS].pages.data + fixups[i].at,
			    ul_sqlite_page_number(chains + fixups[i].page));
	ul_sqlite_overflow_place(&t->cells.overflow, chains);
	for (size_t i = 0; r == 0 && i < UL_CELLS_N; i++)
		r = ul_sqlite_write(f, first[i], t->cells.leaves[i].pages.data,
				    ul_leaves_count(&t->cells.leaves[i]), &t->err);
	if (r == 0)
		r = ul_sqlite_write(f, chains, t->cells.overflow.data,
				    (uint32_t)(t->cells.overflow.len / UL_SQLITE_PAGE), &t->err);
	return r;
}

static int do_unit(struct ul_bulk_thread *t, uint32_t number)
{
	uint32_t first[UL_CELLS_N + 1];
	int r = build_unit(t, number);

	if (r < 0)
		return r;
	if (!ul_bulk_turn_begin(t->bulk, number))
		return UL_BULK_STOP;
	r = place_unit(t, first);
	ul_bulk_turn_end(t->bulk);
	return r < 0 ? r : write_unit(t, first);
}

/* ---- the whole ---- */

static unsigned int count_threads(const struct ul_db_options *options)
{
	long n = options->threads ? (long)options->threads : sysconf(_SC_NPROCESSORS_ONLN);

	if (options->low_memory || n < 1)
		return 1;
	return n < MAX_THREADS ? (unsigned int)n : MAX_THREADS;
}

static int prepare(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;

	if (s->n_refs >= MAX_ROWS)
		return ul_error_set(bulk->err, UL_E_DATABASE, what, bulk->file.name, NULL,
				    "more than 2^31 references");
	/* About a thousand ranges: few enough to sort into, small enough to stay in the cache. */
	bulk->range_shift = 12;
	while ((s->n_paths >> bulk->range_shift) >= 1024)
		bulk->range_shift++;
	bulk->n_ranges = (s->n_paths >> bulk->range_shift) + 1;
	bulk->range_refs = calloc(bulk->n_ranges, sizeof(*bulk->range_refs));
	if (!bulk->options->low_memory)
		bulk->pairs = calloc((size_t)s->n_batches + 1, sizeof(*bulk->pairs));
	if (!bulk->range_refs || (!bulk->pairs && !bulk->options->low_memory))
		return ul_error_nomem(bulk->err, what);
	return make_units(bulk);
}

/* Which of the trees are indexes: the schema's rows tell. */
static void set_kinds(struct ul_bulk *bulk)
{
	for (size_t i = 0; i < ul_db_n_objects; i++)
		if (ul_db_objects[i].tree != UL_TREE_NONE)
			bulk->tree[ul_db_objects[i].tree].kind = ul_db_objects[i].type[0] == 't'
									 ? UL_SQLITE_LEAF_TABLE
									 : UL_SQLITE_LEAF_INDEX;
}

static void free_bulk(struct ul_bulk *bulk)
{
	for (size_t i = 0; i < UL_N_TREES; i++)
		ul_sqlite_tree_free(&bulk->tree[i]);
	for (uint32_t k = 0; bulk->pairs && k < bulk->source->n_batches; k++) {
		free(bulk->pairs[k].pairs);
		free(bulk->pairs[k].start);
	}
	free(bulk->pairs);
	free(bulk->range_refs);
	free(bulk->units);
	free(bulk->groups);
	ul_buffer_free(&bulk->collected);
	pthread_cond_destroy(&bulk->turned);
	pthread_mutex_destroy(&bulk->lock);
}

int ul_db_write_bulk(const struct ul_db_source *s, int fd, const char *name,
		     const struct ul_db_options *options, struct ul_error *err)
{
	struct ul_bulk bulk = {
		.source = s, .options = options, .threads = count_threads(options), .err = err};
	int r;

	pthread_mutex_init(&bulk.lock, NULL);
	pthread_cond_init(&bulk.turned, NULL);
	ul_sqlite_file_init(&bulk.file, fd, name);
	set_kinds(&bulk);
	r = prepare(&bulk);
	if (r == 0)
		r = ul_bulk_run(&bulk, bulk.n_units, do_unit);
	if (r == 0)
		r = ul_bulk_reverse(&bulk);
	if (r == 0)
		r = ul_bulk_tables(&bulk);
	free_bulk(&bulk);
	return r;
}
