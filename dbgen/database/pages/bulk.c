/* The bulk writer's phases, and the jobs of the first; see bulk.h. */
#include "dbgen/database/rows/writers.h"
#include "dbgen/database/pages/bulk.h"

#include <stdlib.h>

#include "dbgen/database/rows/added.h"

static const char what[] = "writing Nix's database";

#define MAX_THREADS 8
#define MAX_ROWS    INT32_MAX /* of Refs: the cells' integers have 31 bits */

/* ---- units ---- */

/*
 * A unit is one batch of references. A batch with a single reference joins the next one, because its run of an index
 * would have one cell only.
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

static int end_run(struct ul_bulk_thread *t, unsigned int tree, uint64_t row, bool last)
{
	return ul_leaves_end(&t->cells->leaves[tree], row, last) < 0 ? ul_error_nomem(&t->err, what) : 0;
}

/* The references of a unit: Refs and the index of its primary key. */
static int do_refs(struct ul_bulk_thread *t, uint32_t number)
{
	struct ul_bulk *bulk = t->bulk;
	const struct ul_bulk_unit *unit = &bulk->units[number];
	bool last = number >= bulk->last_unit_with_refs;
	uint64_t row = unit->first_row;
	int r = 0;

	ul_cells_start(t->cells, UL_CELLS_OF_REFS);
	for (uint32_t k = unit->first_batch; k < unit->first_batch + unit->n_batches; k++) {
		struct ul_batch b;

		r = ul_db_source_read_batch(bulk->source, t->reader, k, UL_COL_REFS, &b, &t->err);
		if (r < 0)
			return r;
		if (ul_cells_add_refs(t->cells, &b, (uint32_t)row) < 0)
			return ul_error_nomem(&t->err, what);
		ul_bulk_put_aside(bulk, k, &b, (uint32_t)row);
		row += b.ref_off[b.n] - b.ref_off[0];
	}
	for (unsigned int i = UL_CELLS_REFS; r == 0 && i <= UL_CELLS_KEY; i++)
		r = end_run(t, i, row - 1, last);
	return r;
}

/*
 * The paths of a batch: ValidPaths and its index. The index is made with the manifest's batches, added paths
 * come in between; without any, with the first of the added batches.
 */
static int do_paths(struct ul_bulk_thread *t, uint32_t k)
{
	const struct ul_db_source *s = t->bulk->source;
	uint32_t n = ul_manifest_n_batches(s->manifest), added_next = 0;
	bool of_manifest = k < n, last = k + 1 >= n;
	struct ul_batch b;
	int r = ul_db_source_read_batch(s, t->reader, k, UL_COL_NAME | UL_COL_NAR | UL_COL_META, &b, &t->err);

	if (r < 0)
		return r;
	if (of_manifest && s->added)
		added_next = added_from(s->added, b.first);
	ul_cells_start(t->cells, UL_CELLS_OF_PATHS);
	if (ul_cells_add_paths(t->cells, &b, of_manifest, s->added, &added_next) < 0)
		return ul_error_nomem(&t->err, what);
	if (s->added && k + 1 == (n > 0 ? n : 1) &&
	    ul_cells_add_index(t->cells, s->added, &added_next, s->added->all.n) < 0)
		return ul_error_nomem(&t->err, what);
	r = end_run(t, UL_CELLS_PATHS, (uint64_t)b.first + b.n, k + 1 == s->n_batches);
	return r == 0 ? end_run(t, UL_CELLS_PATH, 0, last) : r;
}

/* References first: when the last paths are being made, the references have long been put aside. */
static int do_job(struct ul_bulk_thread *t, uint32_t number)
{
	uint32_t n_units = t->bulk->n_units, n_batches = t->bulk->source->n_batches;

	if (number < n_units)
		return do_refs(t, number);
	number -= n_units;
	return number < n_batches ? do_paths(t, number) : ul_bulk_do_group(t, number - n_batches);
}

static int make_leaves(struct ul_bulk *bulk)
{
	bool low_memory = bulk->options->low_memory;
	struct ul_bulk_jobs jobs = {
		.n = bulk->n_units + bulk->source->n_batches,
		.make = do_job,
		.needed = bulk->n_units,
		.more = low_memory ? NULL : ul_bulk_groups,
	};
	int r = ul_bulk_run(bulk, &jobs);

	return r == 0 && low_memory ? ul_bulk_reverse_in_passes(bulk) : r;
}

/* ---- the whole ---- */

/*
 * Pages that wait for the first one of theirs take memory: cells for two jobs of each thread. Past
 * a few threads all wait for the one that writes.
 */
static int prepare_threads(struct ul_bulk *bulk)
{
	unsigned int n = bulk->options->low_memory ? 1 : ul_workers_count(bulk->options->threads);

	bulk->threads = n < MAX_THREADS ? n : MAX_THREADS;
	bulk->n_cells = bulk->threads > 1 ? bulk->threads * 2 : 1;
	bulk->thread = calloc(bulk->threads, sizeof(*bulk->thread));
	bulk->cells = calloc(bulk->n_cells, sizeof(*bulk->cells));
	return bulk->thread && bulk->cells ? 0 : ul_error_nomem(bulk->err, what);
}

/*
 * Memory that is large and lasts as long as the whole: the references put aside, and the pages that are being made. A
 * database of less than a batch takes what it needs, page by page.
 */
static int prepare_memory(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;
	size_t pairs = (size_t)(s->n_refs + 1) * sizeof(*bulk->pairs), size = pairs;
	bool lend = s->n_batches > 1;

	if (bulk->options->low_memory)
		return 0;
	if (lend)
		size += bulk->n_cells * UL_CELLS_MEMORY;
	if (ul_arena_init(&bulk->arena, size) < 0)
		return ul_error_nomem(bulk->err, what);
	/* The pairs last, for the places of the cells are whole pages. */
	if (lend)
		bulk->cells_memory = bulk->arena.data;
	bulk->pairs = (uint64_t *)(void *)(bulk->arena.data + size - pairs);
	return 0;
}

static int prepare(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;
	int r;

	if (s->n_refs >= MAX_ROWS)
		return ul_error_set(bulk->err, UL_E_DATABASE, what, bulk->file.name, NULL, "more than 2^31 references");
	r = prepare_threads(bulk);
	if (r == 0)
		r = prepare_memory(bulk);
	if (r == 0)
		r = ul_bulk_prepare_reverse(bulk);
	return r == 0 ? make_units(bulk) : r;
}

/* Which of the trees are indexes: the schema's rows tell. */
static void set_kinds(struct ul_bulk *bulk)
{
	for (size_t i = 0; i < ul_db_n_objects; i++)
		if (ul_db_objects[i].tree != UL_TREE_NONE)
			bulk->tree[ul_db_objects[i].tree].kind =
				ul_db_objects[i].type[0] == 't' ? UL_SQLITE_LEAF_TABLE : UL_SQLITE_LEAF_INDEX;
}

static void free_bulk(struct ul_bulk *bulk)
{
	for (size_t i = 0; i < UL_N_TREES; i++)
		ul_sqlite_tree_free(&bulk->tree[i]);
	for (unsigned int i = 0; bulk->thread && i < bulk->threads; i++) {
		ul_batch_reader_free(bulk->thread[i].reader);
		ul_buffer_free(&bulk->thread[i].counts);
		ul_buffer_free(&bulk->thread[i].rows);
	}
	for (unsigned int i = 0; bulk->cells && i < bulk->n_cells; i++)
		if (bulk->cells[i].ready)
			ul_cells_free(&bulk->cells[i].c);
	free(bulk->thread);
	free(bulk->cells);
	free(bulk->units);
	ul_bulk_free_reverse(bulk);
	ul_arena_free(&bulk->arena);
	pthread_cond_destroy(&bulk->changed);
	pthread_mutex_destroy(&bulk->lock);
}

int ul_db_write_bulk(const struct ul_db_source *s, int fd, const char *name, const struct ul_db_options *options,
		     struct ul_error *err)
{
	struct ul_bulk bulk = {.source = s, .options = options, .err = err};
	int r;

	pthread_mutex_init(&bulk.lock, NULL);
	pthread_cond_init(&bulk.changed, NULL);
	ul_sqlite_file_init(&bulk.file, fd, name);
	set_kinds(&bulk);
	r = prepare(&bulk);
	if (r == 0)
		r = make_leaves(&bulk);
	if (r == 0)
		r = ul_bulk_tables(&bulk);
	free_bulk(&bulk);
	return r;
}
