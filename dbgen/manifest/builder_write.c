/* The builder's writing half: order, numbers, closure check, and the file put together. */
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

static const char what[] = "writing the manifest";

static int compare_entries(const void *a, const void *b, void *user)
{
	const struct ul_builder_entry *entries = user, *x = &entries[*(const uint32_t *)a],
				      *y = &entries[*(const uint32_t *)b];
	int order = memcmp(x->digest, y->digest, UL_DIGEST_SIZE);

	return order ? order : strcmp(x->name, y->name);
}

/* The entries to write, in path order, and the number of each. */
static size_t sort_entries(const struct ul_builder *b, uint32_t *order, uint32_t *number)
{
	size_t n = 0;

	for (size_t i = 0; i < b->entries.n; i++)
		if (ul_builder_keeps(b, &b->entries.at[i]))
			order[n++] = (uint32_t)i;
	if (n > 1)
		qsort_r(order, n, sizeof(*order), compare_entries, b->entries.at);
	for (size_t i = 0; i < n; i++)
		number[order[i]] = (uint32_t)i;
	return n;
}

/* Every reference of what is written must be written too. */
static int check_closure(const struct ul_builder *b, const uint32_t *order, size_t n, uint64_t *ret_refs,
			 struct ul_error *err)
{
	uint64_t refs = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ul_builder_entry *e = &b->entries.at[order[i]];
		const struct ul_builder_record *record = &b->records.at[e->record];

		for (uint32_t k = 0; k < record->n_refs; k++) {
			const struct ul_builder_entry *to = &b->entries.at[b->refs.at[record->first_ref + k]];
			char from_text[UL_STORE_PATH_SIZE], to_text[UL_STORE_PATH_SIZE];

			if (to->record != UL_NO_RECORD)
				continue;
			return ul_error_set(err, UL_E_INPUT, "checking the closure", ul_builder_path(b, e, from_text),
					    "Give the whole closure.", "it refers to %s, which is not given",
					    ul_builder_path(b, to, to_text));
		}
		refs += record->n_refs;
	}
	*ret_refs = refs;
	return 0;
}

/* Header and index with zeros, to be filled when all else is known. */
static int reserve_head(const struct ul_builder *b, uint32_t n_batches, struct ul_buffer *out, uint32_t *ret_head_len,
			struct ul_error *err)
{
	size_t dir_len = strlen(b->store_dir);
	uint32_t head_len = (uint32_t)((UL_MANIFEST_HEAD + dir_len + 7) / 8 * 8);
	size_t len = head_len + (size_t)n_batches * UL_MANIFEST_INDEX;

	if (ul_buffer_reserve(out, len) < 0)
		return ul_error_nomem(err, what);
	memset(out->data, 0, len);
	out->len = len;
	memcpy(out->data, UL_MANIFEST_MAGIC, 8);
	ul_put_le32(out->data + UL_HEAD_VERSION, UL_MANIFEST_VERSION);
	ul_put_le32(out->data + UL_HEAD_LEN, head_len);
	ul_put_le32(out->data + UL_HEAD_N_BATCHES, n_batches);
	ul_put_le32(out->data + UL_HEAD_DIR_LEN, (uint32_t)dir_len);
	memcpy(out->data + UL_MANIFEST_HEAD, b->store_dir, dir_len);
	*ret_head_len = head_len;
	return 0;
}

/* A manifest on its way to the file. */
struct writing {
	struct ul_builder *b;
	struct ul_encode_span all; /* all of its paths */
	uint32_t head_len;
	struct ul_encoder *encoder;
	struct ul_buffer out;
};

static int write_batches(struct writing *w, struct ul_error *err)
{
	uint8_t row[UL_MANIFEST_INDEX];
	int r = 0;

	for (uint32_t first = 0, k = 0; first < w->all.n && r == 0; first += UL_MANIFEST_BATCH, k++) {
		struct ul_encode_span batch = w->all;

		batch.order += first;
		batch.n = w->all.n - first < UL_MANIFEST_BATCH ? w->all.n - first : UL_MANIFEST_BATCH;
		r = ul_encode_batch(w->encoder, &batch, &w->out, row, err);
		if (r == 0)
			memcpy(w->out.data + w->head_len + (size_t)k * UL_MANIFEST_INDEX, row, sizeof(row));
	}
	return r;
}

/* One of the tail's sections: how its rows are encoded, and where in the header their count and entry stand. */
struct tail {
	int (*encode)(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
		      struct ul_error *err);
	size_t count_offset, entry_offset;
};

static int write_tail(struct writing *w, const struct tail *t, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer raw = {0};
	uint8_t entry[UL_MANIFEST_ENTRY];
	uint32_t n = 0;
	int r = t->encode(w->b, w->all.number, &raw, &n, err);

	if (r == 0)
		r = ul_encode_section(w->encoder, &raw, true, &w->out, entry, err);
	if (r < 0)
		return r;
	if (!w->out.data)
		return ul_error_nomem(err, what);
	memcpy(w->out.data + t->entry_offset, entry, sizeof(entry));
	ul_put_le32(w->out.data + t->count_offset, n);
	return 0;
}

static int write_all(struct writing *w, struct ul_error *err)
{
	static const struct tail tails[] = {
		{ul_encode_drv_outputs, UL_HEAD_N_DRV_OUTPUTS, UL_HEAD_DRV_OUTPUTS},
		{ul_encode_realisations, UL_HEAD_N_REALISATIONS, UL_HEAD_REALISATIONS},
	};
	int r = reserve_head(w->b, (w->all.n + UL_MANIFEST_BATCH - 1) / UL_MANIFEST_BATCH, &w->out, &w->head_len, err);

	if (r == 0)
		r = write_batches(w, err);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(tails); i++)
		r = write_tail(w, &tails[i], err);
	return r;
}

static void seal(struct ul_buffer *out, uint32_t head_len, uint32_t n, uint64_t n_refs)
{
	uint8_t *d = out->data;
	size_t index_len;

	if (!d)
		return;
	index_len = (size_t)ul_get_le32(d + UL_HEAD_N_BATCHES) * UL_MANIFEST_INDEX;
	ul_put_le32(d + UL_HEAD_N_PATHS, n);
	ul_put_le64(d + UL_HEAD_N_REFS, n_refs);
	ul_put_le64(d + UL_HEAD_FILE_LEN, out->len);
	ul_put_le64(d + UL_HEAD_INDEX_SUM, ul_checksum(d + head_len, index_len));
	ul_put_le64(d + UL_HEAD_SUM, ul_checksum(d, head_len));
}

int ul_builder_finish(struct ul_builder *b, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autofree uint32_t *order = NULL, *number = NULL;
	struct writing w = {.b = b};
	uint64_t n_refs = 0;
	int r;

	if (!ul_store_dir_valid(b->store_dir))
		return ul_error_set(err, UL_E_INPUT, what, b->store_dir, "Give an absolute path such as /nix/store.",
				    "it cannot be a store directory");
	r = ul_builder_take_closure(b, err);
	if (r == 0)
		r = ul_builder_write_notes(b, err);
	if (r < 0)
		return r;
	/* No path is looked up any more. */
	free(b->table);
	b->table = NULL;
	b->table_size = 0;
	order = calloc(b->entries.n + 1, sizeof(*order));
	number = calloc(b->entries.n + 1, sizeof(*number));
	if (!order || !number)
		return ul_error_nomem(err, what);
	w.all = (struct ul_encode_span){b, order, number, (uint32_t)sort_entries(b, order, number)};
	r = check_closure(b, order, w.all.n, &n_refs, err);
	if (r == 0)
		r = ul_builder_check_cycles(b, order, w.all.n, err);
	if (r < 0)
		return r;
	w.encoder = ul_encoder_new();
	r = w.encoder ? write_all(&w, err) : ul_error_nomem(err, what);
	ul_encoder_free(w.encoder);
	if (r < 0) {
		ul_buffer_free(&w.out);
		return r;
	}
	seal(&w.out, w.head_len, w.all.n, n_refs);
	*ret = w.out;
	return 0;
}
