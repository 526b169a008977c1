/* Which paths nobody refers to; see roots.h. */
#include "dbgen/manifest/roots.h"

#include <string.h>

#include "common/cleanup.h"
#include "dbgen/store/store_path.h"

static const char what[] = "listing the store's top-level paths";

static void cleanup_reader(struct ul_batch_reader **r)
{
	ul_batch_reader_free(*r);
}

#define autoreader UL_CLEANUP(cleanup_reader)

/* referenced[i]: another path refers to path i. */
static int mark_referenced(struct ul_manifest *m, struct ul_batch_reader *reader, uint8_t *referenced,
			   struct ul_error *err)
{
	for (uint32_t k = 0; k < ul_manifest_n_batches(m); k++) {
		struct ul_batch batch;
		int r = ul_manifest_read_batch(reader, k, UL_COL_REFS, &batch, err);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < batch.n; i++)
			for (uint64_t j = batch.ref_off[i]; j < batch.ref_off[i + 1]; j++)
				if (batch.refs[j] != batch.first + i)
					referenced[batch.refs[j]] = 1;
	}
	return 0;
}

static int list_batch(const char *store_dir, const struct ul_batch *batch, const uint8_t *referenced,
		      struct ul_buffer *to, struct ul_error *err)
{
	size_t prefix = strlen(store_dir) + 1;
	char path[UL_STORE_PATH_SIZE];

	for (uint32_t i = 0; i < batch->n; i++) {
		if (referenced[batch->first + i])
			continue;
		ul_store_path_text(store_dir, batch, i, path);
		if (ul_buffer_append(to, path + prefix, strlen(path) - prefix) < 0 || ul_buffer_append(to, "\n", 1) < 0)
			return ul_error_nomem(err, what);
	}
	return 0;
}

int ul_roots_list(struct ul_manifest *m, struct ul_buffer *ret, struct ul_error *err)
{
	autoreader struct ul_batch_reader *reader = ul_batch_reader_new(m);
	ul_autobuffer struct ul_buffer marks = {0};
	size_t n = ul_manifest_n_paths(m);
	int r;

	if (!reader || ul_buffer_reserve(&marks, n + 1) < 0)
		return ul_error_nomem(err, what);
	memset(marks.data, 0, marks.size);
	r = mark_referenced(m, reader, marks.data, err);
	for (uint32_t k = 0; r == 0 && k < ul_manifest_n_batches(m); k++) {
		struct ul_batch batch;

		r = ul_manifest_read_batch(reader, k, UL_COL_NAME, &batch, err);
		if (r == 0)
			r = list_batch(ul_manifest_store_dir(m), &batch, marks.data, ret, err);
	}
	return r;
}
