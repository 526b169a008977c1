/* The builder's writing half: order, numbers, closure check, and the file put together. */
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

#define WRITING "writing the manifest"

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

	for (size_t i = 0; i < b->n_entries; i++)
		if (ul_builder_keeps(b, &b->entries[i]))
			order[n++] = (uint32_t)i;
	if (n > 1)
		qsort_r(order, n, sizeof(*order), compare_entries, b->entries);
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
		const struct ul_builder_entry *e = &b->entries[order[i]];
		const struct ul_builder_record *record = &b->records[e->record];

		for (uint32_t k = 0; k < record->n_refs; k++) {
			const struct ul_builder_entry *to = &b->entries[b->refs[record->first_ref + k]];
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
		return ul_error_nomem(err, WRITING);
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

static int write_batches(struct ul_encoder *e, const struct ul_builder *b, const uint32_t *order,
			 const uint32_t *number, uint32_t n, uint32_t head_len, struct ul_buffer *out,
			 struct ul_error *err)
{
	uint8_t row[UL_MANIFEST_INDEX];
	int r = 0;

	for (uint32_t first = 0, k = 0; first < n && r == 0; first += UL_MANIFEST_BATCH, k++) {
		uint32_t count = n - first < UL_MANIFEST_BATCH ? n - first : UL_MANIFEST_BATCH;

		r = ul_encode_batch(e, b, order, number, first, count, out, row, err);
		if (r == 0)
			memcpy(out->data + head_len + (size_t)k * UL_MANIFEST_INDEX, row, sizeof(row));
	}
	return r;
}

typedef int (*tail_fn)(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
		       struct ul_error *err);

/* One of the tail's sections: its rows, their count and the section entry. */
static int write_tail(struct ul_encoder *e, struct ul_builder *b, const uint32_t *number, tail_fn encode,
		      size_t count_offset, size_t entry_offset, struct ul_buffer *out, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer raw = {0};
	uint8_t entry[UL_MANIFEST_ENTRY];
	uint32_t n = 0;
	int r = encode(b, number, &raw, &n, err);

	if (r == 0)
		r = ul_encode_section(e, &raw, true, out, entry, err);
	if (r < 0)
		return r;
	if (!out->data)
		return ul_error_nomem(err, WRITING);
	memcpy(out->data + entry_offset, entry, sizeof(entry));
	ul_put_le32(out->data + count_offset, n);
	return 0;
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
	ul_autofree uint32_t *order = calloc(b->n_entries + 1, sizeof(*order));
	ul_autofree uint32_t *number = calloc(b->n_entries + 1, sizeof(*number));
	ul_autobuffer struct ul_buffer out = {0};
	struct ul_encoder *e = NULL;
	uint64_t n_refs = 0;
	uint32_t n, head_len = 0;
	int r;

	if (!ul_store_dir_valid(b->store_dir))
		return ul_error_set(err, UL_E_INPUT, WRITING, b->store_dir, "Give an absolute path such as /nix/store.",
				    "it is no usable store directory");
	if (!order || !number)
		return ul_error_nomem(err, WRITING);
	n = (uint32_t)sort_entries(b, order, number);
	r = check_closure(b, order, n, &n_refs, err);
	if (r == 0)
		r = ul_builder_check_cycles(b, order, n, err);
	if (r == 0)
		r = reserve_head(b, (n + UL_MANIFEST_BATCH - 1) / UL_MANIFEST_BATCH, &out, &head_len, err);
	if (r < 0)
		return r;
	e = ul_encoder_new();
	r = e ? write_batches(e, b, order, number, n, head_len, &out, err) : ul_error_nomem(err, WRITING);
	if (r == 0)
		r = write_tail(e, b, number, ul_encode_drv_outputs, UL_HEAD_N_DRV_OUTPUTS, UL_HEAD_DRV_OUTPUTS, &out,
			       err);
	if (r == 0)
		r = write_tail(e, b, number, ul_encode_realisations, UL_HEAD_N_REALISATIONS, UL_HEAD_REALISATIONS, &out,
			       err);
	ul_encoder_free(e);
	if (r < 0)
		return r;
	seal(&out, head_len, n, n_refs);
	*ret = out;
	out = (struct ul_buffer){0};
	return 0;
}
