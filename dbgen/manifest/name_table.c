/* The name table: names and digests copied batch by batch. */
#include "dbgen/manifest/name_table.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "dbgen/manifest/internal.h"

static const char what[] = "reading the manifest";

struct ul_name_table {
	struct ul_manifest *m;
	uint64_t *off; /* n + 1 */
	struct ul_buffer bytes, digests;
};

static int load(struct ul_name_table *t, struct ul_batch_reader *r, struct ul_error *err)
{
	struct ul_batch b;
	int res = 0;

	for (uint32_t k = 0; k < t->m->n_batches && res == 0; k++) {
		res = ul_manifest_read_batch(r, k, UL_COL_NAME, &b, err);
		if (res < 0)
			break;
		for (uint32_t i = 0; i < b.n; i++)
			t->off[b.first + i] = t->bytes.len + b.name.off[i];
		if (ul_buffer_append(&t->bytes, b.name.bytes, b.name.off[b.n]) < 0 ||
		    ul_buffer_append(&t->digests, b.digest, (size_t)b.n * UL_DIGEST_SIZE) < 0)
			res = ul_error_nomem(err, what);
	}
	t->off[t->m->n_paths] = t->bytes.len;
	return res;
}

int ul_name_table_new(struct ul_manifest *m, struct ul_name_table **ret, struct ul_error *err)
{
	struct ul_name_table *t = calloc(1, sizeof(*t));
	struct ul_batch_reader *r = ul_batch_reader_new(m);
	int res = -UL_E_MEMORY;

	if (t) {
		t->m = m;
		t->off = calloc((size_t)m->n_paths + 1, sizeof(*t->off));
	}
	if (t && t->off && r)
		res = load(t, r, err);
	else
		(void)ul_error_nomem(err, what);
	ul_batch_reader_free(r);
	if (res < 0) {
		ul_name_table_free(t);
		return res;
	}
	*ret = t;
	return 0;
}

void ul_name_table_free(struct ul_name_table *t)
{
	if (!t)
		return;
	ul_buffer_free(&t->bytes);
	ul_buffer_free(&t->digests);
	free(t->off);
	free(t);
}

char *ul_name_table_path(const struct ul_name_table *t, uint32_t number, char out[UL_STORE_PATH_SIZE])
{
	return ul_store_path_print(t->m->store_dir, t->digests.data + (size_t)number * UL_DIGEST_SIZE,
				   (const char *)t->bytes.data + t->off[number], t->off[number + 1] - t->off[number],
				   out);
}
