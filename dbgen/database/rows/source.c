/* The manifest's rows and the added ones as one list; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "common/cleanup.h"
#include "dbgen/database/rows/added.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/manifest/format.h"

static const char what[] = "writing Nix's database";

struct rows {
	const void *at;
	uint32_t n;
};

/* Two tables of rows of `size` bytes as one in *ret; without added rows there is nothing to join. */
static int join(struct rows first, struct rows second, size_t size, void **ret, struct ul_error *err)
{
	uint8_t *joined;

	if (second.n == 0)
		return 0;
	joined = malloc(((size_t)first.n + second.n) * size);
	if (!joined)
		return ul_error_nomem(err, what);
	if (first.n > 0)
		memcpy(joined, first.at, first.n * size);
	memcpy(joined + first.n * size, second.at, second.n * size);
	*ret = joined;
	return 0;
}

/* New numbers of the manifest's realisations: those of the older form first. *ret_refs: references between these. */
static uint32_t renumber(const struct ul_realisation *all, uint32_t n, uint32_t *numbers, size_t *ret_refs)
{
	uint32_t older = 0, traces = 0;

	*ret_refs = 0;
	for (uint32_t i = 0; i < n; i++)
		older += !ul_db_is_trace(all[i].drv_path);
	for (uint32_t i = 0, next = 0; i < n; i++) {
		numbers[i] = ul_db_is_trace(all[i].drv_path) ? older + traces++ : next++;
		*ret_refs += all[i].n_refs;
	}
	return older;
}

/* A row of the older form, with its references to rows of that form. Returns how many these are. */
static uint32_t copy_refs(const struct ul_realisation *from, const uint32_t *numbers, uint32_t older, uint32_t *to)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < from->n_refs; k++)
		if (numbers[from->refs[k]] < older)
			to[n++] = numbers[from->refs[k]];
	return n;
}

/* Both forms stand in one list of the manifest, and each has its own table: pull them apart, order kept. */
static int split_traces(struct ul_db_source *s, struct ul_error *err)
{
	const struct ul_realisation *all = s->realisations;
	uint32_t n = s->n_realisations, older, *refs;
	ul_autofree uint32_t *numbers = malloc(((size_t)n + 1) * sizeof(*numbers));
	size_t n_refs;

	if (!numbers)
		return ul_error_nomem(err, what);
	older = renumber(all, n, numbers, &n_refs);
	if (older == n)
		return 0;
	s->split = malloc(n * sizeof(*s->split));
	s->split_refs = refs = malloc((n_refs + 1) * sizeof(*refs));
	if (!s->split || !refs)
		return ul_error_nomem(err, what);
	for (uint32_t i = 0; i < n; i++) {
		struct ul_realisation *to = &s->split[numbers[i]];

		*to = all[i];
		to->refs = refs;
		to->n_refs = numbers[i] < older ? copy_refs(&all[i], numbers, older, refs) : 0;
		refs += to->n_refs;
	}
	s->realisations = s->split;
	s->n_realisations = older;
	s->traces = s->split + older;
	s->n_traces = n - older;
	return 0;
}

static int by_output(const void *a, const void *b, void *source)
{
	const struct ul_db_source *s = source;
	uint32_t x = s->traces[*(const uint32_t *)a].output, y = s->traces[*(const uint32_t *)b].output;

	return ul_order(x, y);
}

/* In order of the outputs, so that each batch of the manifest is read once. */
static int print_trace_paths(struct ul_db_source *s, const uint32_t *order, struct ul_batch_reader *reader,
			     struct ul_error *err)
{
	struct ul_batch batch = {.n = 0};

	for (uint32_t i = 0; i < s->n_traces; i++) {
		uint32_t output = s->traces[order[i]].output;
		char *to = s->trace_texts + (size_t)i * UL_STORE_PATH_SIZE;
		int r = 0;

		if (batch.n == 0 || output < batch.first || output - batch.first >= batch.n)
			r = ul_manifest_read_batch(reader, output / UL_MANIFEST_BATCH, UL_COL_NAME, &batch, err);
		if (r < 0)
			return r;
		ul_store_path_text(s->store_dir, &batch, output - batch.first, to);
		s->trace_path_list[order[i]] = to;
	}
	return 0;
}

static int find_trace_paths(struct ul_db_source *s, struct ul_error *err)
{
	ul_autofree uint32_t *order = malloc((s->n_traces + (size_t)1) * sizeof(*order));
	struct ul_batch_reader *reader;
	int r;

	if (s->n_traces == 0)
		return 0;
	reader = ul_batch_reader_new(s->manifest);
	s->trace_texts = malloc((size_t)s->n_traces * UL_STORE_PATH_SIZE);
	s->trace_path_list = calloc(s->n_traces, sizeof(*s->trace_path_list));
	if (!order || !reader || !s->trace_texts || !s->trace_path_list) {
		ul_batch_reader_free(reader);
		return ul_error_nomem(err, what);
	}
	for (uint32_t i = 0; i < s->n_traces; i++)
		order[i] = i;
	qsort_r(order, s->n_traces, sizeof(*order), by_output, s);
	r = print_trace_paths(s, order, reader, err);
	s->trace_paths = (const char *const *)s->trace_path_list;
	ul_batch_reader_free(reader);
	return r;
}

int ul_db_source_open(struct ul_db_source *s, struct ul_manifest *m, struct ul_error *err)
{
	int r;

	*s = (struct ul_db_source){
		.manifest = m,
		.store_dir = ul_manifest_store_dir(m),
		.n_manifest = ul_manifest_n_paths(m),
		.n_paths = ul_manifest_n_paths(m),
		.n_refs = ul_manifest_n_refs(m),
		.n_batches = ul_manifest_n_batches(m),
	};
	r = ul_manifest_drv_outputs(m, &s->outputs, &s->n_outputs, err);
	if (r == 0)
		r = ul_manifest_realisations(m, &s->realisations, &s->n_realisations, err);
	if (r == 0)
		r = split_traces(s, err);
	return r == 0 ? find_trace_paths(s, err) : r;
}

int ul_db_source_add(struct ul_db_source *s, struct ul_db_added *a, struct ul_error *err)
{
	int r;

	s->added = a;
	if (!a)
		return 0;
	if ((uint64_t)s->n_paths + a->all.n > UINT32_MAX - 1 || (uint64_t)s->n_outputs + a->n_outputs > UINT32_MAX ||
	    (uint64_t)s->n_realisations + a->n_realisations > UINT32_MAX)
		return ul_error_set(err, UL_E_DATABASE, what, NULL, NULL,
				    "with the rows to be merged in a table would have more than 2^32 - 2");
	r = join((struct rows){s->outputs, s->n_outputs}, (struct rows){a->outputs, a->n_outputs}, sizeof(*a->outputs),
		 &s->joined_outputs, err);
	if (r < 0)
		return r;
	if (s->joined_outputs)
		s->outputs = s->joined_outputs;
	s->n_outputs += a->n_outputs;
	r = join((struct rows){s->realisations, s->n_realisations}, (struct rows){a->realisations, a->n_realisations},
		 sizeof(*a->realisations), &s->joined_realisations, err);
	if (r < 0)
		return r;
	if (s->joined_realisations)
		s->realisations = s->joined_realisations;
	s->n_realisations += a->n_realisations;
	s->n_paths += a->all.n;
	s->n_refs += a->all.ref_off[a->all.n];
	s->n_batches += (a->all.n + UL_DB_ADDED_BATCH - 1) / UL_DB_ADDED_BATCH;
	return 0;
}

void ul_db_source_close(struct ul_db_source *s)
{
	free(s->joined_outputs);
	free(s->joined_realisations);
	free(s->split);
	free(s->split_refs);
	free(s->trace_texts);
	free(s->trace_path_list);
	ul_db_added_free(s->added);
	*s = (struct ul_db_source){0};
}

int ul_db_source_read_batch(const struct ul_db_source *s, struct ul_batch_reader *r, uint32_t k, unsigned int columns,
			    struct ul_batch *ret, struct ul_error *err)
{
	uint32_t n = ul_manifest_n_batches(s->manifest), skip;
	struct ul_batch batch;

	if (k < n)
		return ul_manifest_read_batch(r, k, columns, ret, err);
	batch = s->added->all;
	skip = (k - n) * UL_DB_ADDED_BATCH;
	batch.first += skip;
	batch.n = batch.n - skip < UL_DB_ADDED_BATCH ? batch.n - skip : UL_DB_ADDED_BATCH;
	batch.digest += (size_t)skip * UL_DIGEST_SIZE;
	batch.name.off += skip;
	batch.nar_hash += (size_t)skip * UL_NAR_HASH_SIZE;
	batch.nar_size += skip;
	batch.registered += skip;
	batch.ultimate += skip;
	batch.deriver.off += skip;
	batch.sigs.off += skip;
	batch.ca.off += skip;
	batch.ref_off += skip;
	*ret = batch;
	return 0;
}

uint64_t ul_db_source_batch_refs(const struct ul_db_source *s, uint32_t k)
{
	uint32_t n = ul_manifest_n_batches(s->manifest), from, to;

	if (k < n)
		return ul_manifest_batch_refs(s->manifest, k);
	from = (k - n) * UL_DB_ADDED_BATCH;
	to = s->added->all.n - from < UL_DB_ADDED_BATCH ? s->added->all.n : from + UL_DB_ADDED_BATCH;
	return s->added->all.ref_off[to] - s->added->all.ref_off[from];
}
