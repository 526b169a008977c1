/* The manifest's rows and the added ones as one list; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "dbgen/database/rows/added.h"

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
	return r;
}

int ul_db_source_add(struct ul_db_source *s, struct ul_db_added *a, struct ul_error *err)
{
	int r;

	s->added = a;
	if (!a)
		return 0;
	if ((uint64_t)s->n_paths + a->all.n > UINT32_MAX - 1 || (uint64_t)s->n_outputs + a->n_outputs > UINT32_MAX ||
	    (uint64_t)s->n_realisations + a->n_realisations > UINT32_MAX)
		return ul_error_set(err, UL_E_DATABASE, what, NULL, NULL, "too many rows");
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
