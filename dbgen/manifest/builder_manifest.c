/* A manifest taken into a builder, to be written again with more. */
#include <string.h>

#include "common/cleanup.h"
#include "dbgen/manifest/builder_internal.h"

static const char what[] = "reading the manifest";

/* Shared by the taking of paths. */
struct taking {
	struct ul_builder *b;
	struct ul_manifest *m;
	struct ul_buffer deriver, sigs, ca; /* of the path in work, as strings */
	struct ul_error *err;
};

/* *ret: NULL where there is no such text. */
static bool text_of(struct ul_buffer *buffer, const char *prefix, const struct ul_text_column *c, uint32_t i,
		    const char **ret)
{
	uint32_t len = c->off[i + 1] - c->off[i];

	*ret = NULL;
	if (len == 0)
		return true;
	buffer->len = 0;
	if (ul_buffer_append(buffer, prefix, strlen(prefix)) < 0 ||
	    ul_buffer_append(buffer, c->bytes + c->off[i], len) < 0)
		return false;
	*ret = ul_buffer_string(buffer);
	return *ret;
}

/* References are numbers of paths, which are numbers of entries here: paths come in order, into an empty builder. */
static int take_refs(struct taking *t, const struct ul_batch *batch, uint32_t i)
{
	struct ul_builder *b = t->b;
	struct ul_builder_record *record = &b->records.at[b->records.n - 1];

	record->first_ref = b->refs.n;
	for (uint64_t k = batch->ref_off[i]; k < batch->ref_off[i + 1]; k++)
		if (ul_vector_push(&b->refs, batch->refs[k]) < 0)
			return ul_error_nomem(t->err, what);
	record->n_refs = (uint32_t)(batch->ref_off[i + 1] - batch->ref_off[i]);
	return 0;
}

static int take_path(struct taking *t, const struct ul_batch *batch, uint32_t i)
{
	const char *dir = ul_manifest_store_dir(t->m);
	const struct ul_text_column *deriver = &batch->deriver;
	bool is_base = deriver->off[i + 1] > deriver->off[i] && deriver->bytes[deriver->off[i]] != '/';
	char path[UL_STORE_PATH_SIZE], prefix[UL_STORE_DIR_MAX + 2] = "";
	struct ul_path_info info = {.path = path,
				    .nar_size = batch->nar_size[i],
				    .registered = batch->registered[i],
				    .ultimate = batch->ultimate[i]};
	int r;

	ul_store_path_text(dir, batch, i, path);
	memcpy(info.nar_hash, batch->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, UL_NAR_HASH_SIZE);
	if (is_base)
		snprintf(prefix, sizeof(prefix), "%s/", dir);
	if (!text_of(&t->deriver, prefix, deriver, i, &info.deriver) ||
	    !text_of(&t->sigs, "", &batch->sigs, i, &info.sigs) || !text_of(&t->ca, "", &batch->ca, i, &info.ca))
		return ul_error_nomem(t->err, what);
	r = ul_builder_add(t->b, &info, t->err);
	return r < 0 ? r : take_refs(t, batch, i);
}

static int take_paths(struct taking *t)
{
	struct ul_batch_reader *reader = ul_batch_reader_new(t->m);
	int r = reader ? 0 : ul_error_nomem(t->err, what);

	for (uint32_t k = 0; r == 0 && k < ul_manifest_n_batches(t->m); k++) {
		struct ul_batch batch;

		r = ul_manifest_read_batch(reader, k, UL_COL_ALL, &batch, t->err);
		for (uint32_t i = 0; r == 0 && i < batch.n; i++)
			r = take_path(t, &batch, i);
	}
	ul_batch_reader_free(reader);
	return r;
}

static int take_drv_outputs(struct taking *t)
{
	const struct ul_drv_output *list = NULL;
	char path[UL_STORE_PATH_SIZE];
	uint32_t n = 0;
	int r = ul_manifest_drv_outputs(t->m, &list, &n, t->err);

	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = ul_builder_add_drv_output(t->b, ul_builder_path(t->b, &t->b->entries.at[list[i].drv], path),
					      list[i].id, list[i].path, t->err);
	return r;
}

static int take_realisations(struct taking *t)
{
	const struct ul_realisation *list = NULL;
	char path[UL_STORE_PATH_SIZE];
	uint32_t n = 0;
	int r = ul_manifest_realisations(t->m, &list, &n, t->err);

	for (uint32_t i = 0; r == 0 && i < n; i++) {
		ul_builder_path(t->b, &t->b->entries.at[list[i].output], path);
		r = ul_builder_add_realisation(t->b, list[i].drv_path, list[i].output_name, path, list[i].signatures,
					       t->err);
		for (uint32_t k = 0; r == 0 && k < list[i].n_refs; k++) {
			const struct ul_realisation *to = &list[list[i].refs[k]];

			r = ul_builder_add_realisation_ref(t->b, list[i].drv_path, list[i].output_name, to->drv_path,
							   to->output_name, t->err);
		}
	}
	return r;
}

int ul_builder_add_manifest(struct ul_builder *b, struct ul_manifest *m, struct ul_error *err)
{
	struct taking t = {.b = b, .m = m, .err = err};
	int r = take_paths(&t);

	if (r == 0)
		r = take_drv_outputs(&t);
	if (r == 0)
		r = take_realisations(&t);
	ul_buffer_free(&t.deriver);
	ul_buffer_free(&t.sigs);
	ul_buffer_free(&t.ca);
	return r;
}
