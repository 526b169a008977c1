/* A row of ValidPaths from a manifest's columns: texts put together one row at a time. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "dbgen/database/rows/row.h"

static const char what[] = "writing Nix's database";

int ul_db_row_buffer_init(struct ul_db_row_buffer *b, const char *store_dir, struct ul_error *err)
{
	size_t len = strlen(store_dir);

	*b = (struct ul_db_row_buffer){.prefix = len + 1};
	b->path = malloc(len + 1 + UL_BASE_NAME_MAX + 1);
	if (!b->path || ul_buffer_append(&b->deriver, store_dir, len) < 0 ||
	    ul_buffer_append(&b->deriver, "/", 1) < 0) {
		ul_db_row_buffer_free(b);
		return ul_error_nomem(err, what);
	}
	memcpy(b->path, store_dir, len);
	b->path[len] = '/';
	return 0;
}

void ul_db_row_buffer_free(struct ul_db_row_buffer *b)
{
	free(b->path);
	ul_buffer_free(&b->deriver);
	*b = (struct ul_db_row_buffer){0};
}

static int set_path(struct ul_db_row_buffer *b, const struct ul_batch *batch, uint32_t i)
{
	uint32_t name_len = batch->name.off[i + 1] - batch->name.off[i];
	char *at = b->path + b->prefix;

	if (name_len > UL_NAME_MAX)
		return -1;
	ul_store_digest_text(batch->digest + (size_t)i * UL_DIGEST_SIZE, at);
	at[UL_HASH_DIGITS] = '-';
	memcpy(at + UL_HASH_DIGITS + 1, batch->name.bytes + batch->name.off[i], name_len);
	return (int)(b->prefix + UL_HASH_DIGITS + 1 + name_len);
}

/* A column's text; NULL where it is empty. */
static const char *text_of(const struct ul_text_column *column, uint32_t i, int *ret_len)
{
	uint32_t len = column->off[i + 1] - column->off[i];

	*ret_len = (int)len;
	return len > 0 ? column->bytes + column->off[i] : NULL;
}

/* Derivers of the store directory are kept as base names; others are absolute already. */
static int set_deriver(struct ul_db_row_buffer *b, struct ul_db_row *row)
{
	if (!row->deriver || row->deriver[0] == '/')
		return 0;
	b->deriver.len = b->prefix;
	if (ul_buffer_append(&b->deriver, row->deriver, (size_t)row->deriver_len) < 0)
		return -1;
	row->deriver = (const char *)b->deriver.data;
	row->deriver_len = (int)b->deriver.len;
	return 0;
}

int ul_db_row(struct ul_db_row_buffer *b, const struct ul_batch *batch, uint32_t i, struct ul_db_row *ret,
	      struct ul_error *err)
{
	struct ul_db_row row = {.id = (int64_t)batch->first + i + 1};

	row.path_len = set_path(b, batch, i);
	if (row.path_len < 0 || batch->nar_size[i] > INT64_MAX)
		return ul_error_set(err, UL_E_MANIFEST, what, "manifest", "Make the manifest again.",
				    "path number %u has a name or size that Nix cannot hold", batch->first + i);
	row.path = b->path;
	ul_hash_text_print(batch->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, b->hash);
	row.hash = b->hash;
	row.hash_len = (int)UL_HASH_TEXT_LENGTH;
	row.registered = batch->registered[i];
	row.nar_size = (int64_t)batch->nar_size[i];
	row.ultimate = batch->ultimate[i] != 0;
	row.deriver = text_of(&batch->deriver, i, &row.deriver_len);
	row.sigs = text_of(&batch->sigs, i, &row.sigs_len);
	row.ca = text_of(&batch->ca, i, &row.ca_len);
	if (set_deriver(b, &row) < 0)
		return ul_error_nomem(err, what);
	*ret = row;
	return 0;
}
