/*
 * The reverse index, IndexReference: for each path the rows of Refs that lead to it. Rows come by
 * referrer, the index wants them by reference; a counting sort over all paths would touch memory at random.
 * So each batch's references are sorted into ranges of paths while they are at hand, and a range is then
 * sorted by itself, within the processor's cache.
 *
 * With low_memory nothing is put aside. The references are decoded again, once for each part of the index
 * that fits into the budget.
 */
#include <stdlib.h>

#include "dbgen/database/pages/bulk.h"

static const char what[] = "writing Nix's database";

#define GROUP_REFS (1U << 14) /* at least so many references make a job */
#define LOW_BUDGET (1U << 20) /* references of a pass with low_memory, 8 bytes each */

/* Ranges that one job does. */
struct ul_bulk_group {
	uint32_t first_range, end_range;
	uint64_t n; /* references */
};

/* Where the references of batch k to range 0, 1, ... begin; the entry behind the last range is their end. */
static uint32_t *starts_of(const struct ul_bulk *bulk, uint32_t k)
{
	return bulk->starts + (size_t)k * (bulk->n_ranges + 2);
}

int ul_bulk_prepare_reverse(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;

	/* About a thousand ranges: few enough to sort into, small enough to stay in the cache. */
	bulk->range_shift = 8;
	while ((s->n_paths >> bulk->range_shift) >= 1024)
		bulk->range_shift++;
	bulk->n_ranges = (s->n_paths >> bulk->range_shift) + 1;
	bulk->range_refs = calloc(bulk->n_ranges, sizeof(*bulk->range_refs));
	if (!bulk->range_refs)
		return ul_error_nomem(bulk->err, what);
	if (bulk->options->low_memory)
		return 0;
	bulk->starts = calloc((size_t)s->n_batches + 1, (bulk->n_ranges + 2) * sizeof(*bulk->starts));
	return bulk->starts ? 0 : ul_error_nomem(bulk->err, what);
}

void ul_bulk_free_reverse(struct ul_bulk *bulk)
{
	free(bulk->starts);
	free(bulk->range_refs);
	free(bulk->groups);
	ul_buffer_free(&bulk->collected);
}

void ul_bulk_put_aside(struct ul_bulk *bulk, uint32_t batch_number, const struct ul_batch *b, uint32_t first_row)
{
	uint32_t n = (uint32_t)(b->ref_off[b->n] - b->ref_off[0]);
	const uint32_t *refs = b->refs + b->ref_off[0];
	unsigned int shift = bulk->range_shift;
	uint32_t *start;

	if (!bulk->pairs) {
		/* One thread, so no lock. */
		for (uint32_t i = 0; i < n; i++)
			bulk->range_refs[refs[i] >> shift]++;
		return;
	}
	/* Counts are kept two places on, so that filling moves each start to where it belongs. */
	start = starts_of(bulk, batch_number);
	start[0] = start[1] = first_row;
	for (uint32_t i = 0; i < n; i++)
		start[(refs[i] >> shift) + 2]++;
	for (uint32_t r = 2; r < bulk->n_ranges + 2; r++)
		start[r] += start[r - 1];
	for (uint32_t i = 0; i < n; i++)
		bulk->pairs[start[(refs[i] >> shift) + 1]++] = UL_BULK_PAIR(refs[i], first_row + i);
}

static void count_ranges(struct ul_bulk *bulk)
{
	for (uint32_t k = 0; bulk->pairs && k < bulk->source->n_batches; k++) {
		const uint32_t *start = starts_of(bulk, k);

		for (uint32_t r = 0; r < bulk->n_ranges; r++)
			bulk->range_refs[r] += start[r + 1] - start[r];
	}
}

/*
 * A job is ranges in a row that have enough references together. The ranges left at the end are a job of their own: the
 * last run of an index may have a single cell.
 */
int ul_bulk_groups(struct ul_bulk *bulk, uint32_t *ret_n, struct ul_error *err)
{
	struct ul_bulk_group group = {.first_range = 0};
	uint32_t n = 0;

	count_ranges(bulk);
	bulk->groups = calloc((size_t)bulk->n_ranges + 1, sizeof(*bulk->groups));
	if (!bulk->groups)
		return ul_error_nomem(err, what);
	for (uint32_t r = 0; r < bulk->n_ranges; r++) {
		group.n += bulk->range_refs[r];
		group.end_range = r + 1;
		if (group.n < GROUP_REFS && (r + 1 < bulk->n_ranges || group.n == 0))
			continue;
		bulk->groups[n++] = group;
		group = (struct ul_bulk_group){.first_range = r + 1};
	}
	*ret_n = n;
	return 0;
}

/* References that lead to the group, and maybe others, in order of rows: slice k of all. */
static const uint64_t *slice(const struct ul_bulk *bulk, const struct ul_bulk_group *g, uint32_t k, size_t *ret_n)
{
	const uint32_t *start;

	if (!bulk->pairs) {
		*ret_n = bulk->collected.len / sizeof(uint64_t);
		return (const uint64_t *)(const void *)bulk->collected.data;
	}
	start = starts_of(bulk, k);
	*ret_n = start[g->end_range] - start[g->first_range];
	return bulk->pairs + start[g->first_range];
}

/* Counting sort: t->rows gets the group's rows by path, t->counts where each path's rows end. */
static int sort_group(struct ul_bulk_thread *t, const struct ul_bulk_group *g, uint32_t first, uint32_t n_paths)
{
	uint32_t slices = t->bulk->pairs ? t->bulk->source->n_batches : 1, *ends, *rows;
	size_t n;

	t->counts.len = t->rows.len = 0;
	if (ul_buffer_reserve(&t->counts, ((size_t)n_paths + 1) * sizeof(*ends)) < 0 ||
	    ul_buffer_reserve(&t->rows, (g->n + 1) * sizeof(*rows)) < 0)
		return ul_error_nomem(&t->err, what);
	ends = (uint32_t *)(void *)t->counts.data;
	rows = (uint32_t *)(void *)t->rows.data;
	memset(ends, 0, ((size_t)n_paths + 1) * sizeof(*ends));
	for (uint32_t k = 0; k < slices; k++) {
		const uint64_t *pairs = slice(t->bulk, g, k, &n);

		for (size_t i = 0; i < n; i++)
			if ((uint32_t)(pairs[i] >> 32) - first < n_paths)
				ends[(uint32_t)(pairs[i] >> 32) - first + 1]++;
	}
	/* From here to the end of the loop below, an entry is where its path's next row goes. */
	for (uint32_t i = 1; i <= n_paths; i++)
		ends[i] += ends[i - 1];
	for (uint32_t k = 0; k < slices; k++) {
		const uint64_t *pairs = slice(t->bulk, g, k, &n);

		for (size_t i = 0; i < n; i++)
			if ((uint32_t)(pairs[i] >> 32) - first < n_paths)
				rows[ends[(uint32_t)(pairs[i] >> 32) - first]++] = (uint32_t)pairs[i];
	}
	return 0;
}

int ul_bulk_do_group(struct ul_bulk_thread *t, uint32_t number)
{
	struct ul_bulk *bulk = t->bulk;
	const struct ul_bulk_group *g = &bulk->groups[bulk->first_group + number];
	uint64_t first = (uint64_t)g->first_range << bulk->range_shift;
	uint64_t end = (uint64_t)g->end_range << bulk->range_shift;
	const uint32_t *ends, *rows;
	int r;

	if (end > bulk->source->n_paths)
		end = bulk->source->n_paths;
	r = sort_group(t, g, (uint32_t)first, (uint32_t)(end - first));
	if (r < 0)
		return r;
	ends = (const uint32_t *)(const void *)t->counts.data;
	rows = (const uint32_t *)(const void *)t->rows.data;
	ul_cells_start(t->cells, UL_CELLS_OF_REVERSE);
	/* Behind the last group stands an empty one. */
	if (ul_cells_add_reverse(t->cells, (uint32_t)first, ends, rows, (uint32_t)(end - first)) < 0 ||
	    ul_leaves_end(&t->cells->leaves[UL_CELLS_REFERENCE], 0, g[1].n == 0) < 0)
		return ul_error_nomem(&t->err, what);
	return 0;
}

/* Decode all references again and keep those that lead to the groups of this pass. */
static int collect(struct ul_bulk *bulk, struct ul_batch_reader *reader, uint32_t first_range, uint32_t end_range)
{
	const struct ul_db_source *s = bulk->source;
	uint32_t row = 1;

	bulk->collected.len = 0;
	for (uint32_t k = 0; k < s->n_batches; k++) {
		struct ul_batch b;
		int r = ul_db_source_read_batch(s, reader, k, UL_COL_REFS, &b, bulk->err);

		if (r < 0)
			return r;
		for (uint64_t i = b.ref_off[0]; i < b.ref_off[b.n]; i++, row++) {
			uint32_t range = b.refs[i] >> bulk->range_shift;
			uint64_t pair = UL_BULK_PAIR(b.refs[i], row);

			if (range >= first_range && range < end_range &&
			    ul_buffer_append(&bulk->collected, &pair, sizeof(pair)) < 0)
				return ul_error_nomem(bulk->err, what);
		}
	}
	return 0;
}

/* The groups from first_group on that fit into the budget, one at least: their references, and a run over them. */
static int do_pass(struct ul_bulk *bulk, struct ul_batch_reader *reader, uint32_t n_groups)
{
	struct ul_bulk_jobs jobs = {.make = ul_bulk_do_group};
	uint32_t first = bulk->first_group, end = first + 1;
	uint64_t refs = bulk->groups[first].n;
	int r;

	for (; end < n_groups && refs + bulk->groups[end].n <= LOW_BUDGET; end++)
		refs += bulk->groups[end].n;
	/* All of it at once: growing by doubling would take twice as much. */
	bulk->collected.len = 0;
	if (ul_buffer_reserve(&bulk->collected, refs * sizeof(uint64_t)) < 0)
		return ul_error_nomem(bulk->err, what);
	r = collect(bulk, reader, bulk->groups[first].first_range, bulk->groups[end - 1].end_range);
	if (r < 0)
		return r;
	jobs.n = end - first;
	r = ul_bulk_run(bulk, &jobs);
	bulk->first_group = end;
	return r;
}

int ul_bulk_reverse_in_passes(struct ul_bulk *bulk)
{
	struct ul_batch_reader *reader;
	uint32_t n = 0;
	int r = ul_bulk_groups(bulk, &n, bulk->err);

	if (r < 0)
		return r;
	reader = ul_batch_reader_new(bulk->source->manifest);
	if (!reader)
		return ul_error_nomem(bulk->err, what);
	while (r == 0 && bulk->first_group < n)
		r = do_pass(bulk, reader, n);
	ul_batch_reader_free(reader);
	return r;
}
