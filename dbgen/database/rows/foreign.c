/* See foreign.h. Types are looked at as well: a path of bytes, for one, reads like a text but is not found by Nix. */
#include "dbgen/database/rows/foreign.h"

#include <string.h>

#include "dbgen/manifest/format.h"
#include "dbgen/manifest/text.h"
#include "dbgen/store/hash_text.h"

/* A text without a NUL in it. */
static const char *text_of(sqlite3_stmt *row, int column, size_t *ret_len)
{
	const char *text = NULL;
	size_t len = 0;

	if (sqlite3_column_type(row, column) == SQLITE_TEXT) {
		text = (const char *)sqlite3_column_text(row, column);
		len = (size_t)sqlite3_column_bytes(row, column);
	}
	if (!text || strlen(text) != len)
		return NULL;
	*ret_len = len;
	return text;
}

const char *ul_db_foreign_base(sqlite3_stmt *row, int column, const char *store_dir, uint8_t ret_digest[UL_DIGEST_SIZE])
{
	size_t len;
	const char *path = text_of(row, column, &len);

	return path ? ul_store_path_parse(store_dir, path, ret_digest) : NULL;
}

const char *ul_db_foreign_path(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text ? text : "";
}

bool ul_db_foreign_id(sqlite3_stmt *row, int column, int64_t *ret)
{
	if (sqlite3_column_type(row, column) != SQLITE_INTEGER)
		return false;
	*ret = sqlite3_column_int64(row, column);
	return true;
}

static bool is_clean(const char *text, size_t len)
{
	return ul_text_clean(text, len);
}

/* Metadata that a row can do without; "" is the same as NULL. */
static const char *optional(sqlite3_stmt *row, int column, size_t max, bool (*clean)(const char *, size_t),
			    struct ul_db_foreign *to)
{
	size_t len = 0;
	const char *text = text_of(row, column, &len);

	if (text ? len == 0 : sqlite3_column_type(row, column) == SQLITE_NULL)
		return NULL;
	if (text && len <= max && clean(text, len))
		return text;
	to->stripped = true;
	return NULL;
}

bool ul_db_foreign_read(sqlite3_stmt *row, int first, const char *store_dir, struct ul_db_foreign *ret)
{
	struct ul_db_foreign f = {.ultimate = sqlite3_column_int64(row, first + 4) != 0};
	const char *hash, *base;
	int64_t size = 0;
	size_t len = 0;

	hash = text_of(row, first, &len);
	if (!ul_hash_text_parse(hash, len, f.nar_hash) || !ul_db_foreign_id(row, first + 1, &f.registered))
		return false;
	if (sqlite3_column_type(row, first + 3) != SQLITE_NULL && !ul_db_foreign_id(row, first + 3, &size))
		return false;
	if (size < 0)
		return false;
	f.nar_size = (uint64_t)size;
	f.deriver = optional(row, first + 2, UL_DERIVER_MAX, is_clean, &f);
	f.sigs = optional(row, first + 5, UL_SIGS_MAX, ul_sigs_clean, &f);
	f.ca = optional(row, first + 6, UL_CA_MAX, is_clean, &f);
	if (f.deriver && !ul_deriver_parse(store_dir, f.deriver, &base)) {
		f.deriver = NULL;
		f.stripped = true;
	}
	*ret = f;
	return true;
}
