/* Totals of a manifest, by one look through all of it. */
#include "dbgen/manifest/internal.h"

static const char what[] = "reading the manifest";

static void count_batch(const struct ul_batch *b, struct ul_manifest_totals *t)
{
	for (uint32_t i = 0; i < b->n; i++) {
		t->nar_bytes += b->nar_size[i];
		t->with_signature += b->sigs.off[i] < b->sigs.off[i + 1];
		t->with_ca += b->ca.off[i] < b->ca.off[i + 1];
		t->with_deriver += b->deriver.off[i] < b->deriver.off[i + 1];
		t->ultimate += b->ultimate[i];
	}
}

int ul_manifest_count(struct ul_manifest *m, struct ul_manifest_totals *ret, struct ul_error *err)
{
	struct ul_manifest_totals t = {.bytes = m->len};
	struct ul_batch_reader *reader = ul_batch_reader_new(m);
	const struct ul_drv_output *outputs;
	const struct ul_realisation *realisations;
	struct ul_batch b;
	int r = reader ? 0 : ul_error_nomem(err, what);

	for (uint32_t k = 0; k < m->n_batches && r == 0; k++) {
		r = ul_manifest_read_batch(reader, k, UL_COL_ALL, &b, err);
		if (r == 0)
			count_batch(&b, &t);
	}
	ul_batch_reader_free(reader);
	if (r == 0)
		r = ul_manifest_drv_outputs(m, &outputs, &t.drv_outputs, err);
	if (r == 0)
		r = ul_manifest_realisations(m, &realisations, &t.realisations, err);
	if (r == 0)
		*ret = t;
	return r;
}
