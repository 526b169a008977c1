/* Queries of the other database, and what its ids lead to. */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/database/merge/merge.h"

const char ul_db_merging[] = "merging the upper's database";

#define MAX_TEXT (1 << 20) /* bytes of one text of an output or a realisation */

int ul_db_merge_fail(struct ul_db_merge *g)
{
	return ul_sqlite_error(g->err, g->db, ul_db_merging, g->options->merge_from);
}

int ul_db_merge_nomem(struct ul_db_merge *g)
{
	return ul_error_nomem(g->err, ul_db_merging);
}

int ul_db_merge_prepare(struct ul_db_merge *g, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(g->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : ul_db_merge_fail(g);
}

const char *ul_db_merge_text(sqlite3_stmt *row, int column, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	size_t len = (size_t)sqlite3_column_bytes(row, column);

	if (!text || len > MAX_TEXT || strlen(text) != len)
		return NULL;
	*ret_len = len;
	return text;
}

static int by_id(const void *a, const void *b)
{
	const struct ul_db_merge_row *x = a, *y = b;

	return ul_order(x->id, y->id);
}

void ul_db_merge_sort_rows(struct ul_db_merge *g)
{
	ul_vector_sort(&g->rows, by_id);
}

struct ul_db_merge_row *ul_db_merge_row(const struct ul_db_merge *g, int64_t id)
{
	const struct ul_db_merge_row key = {.id = id};

	return g->rows.n == 0 ? NULL : bsearch(&key, g->rows.at, g->rows.n, sizeof(key), by_id);
}

bool ul_db_merge_lookup(const struct ul_db_merge *g, int64_t id, uint32_t *ret)
{
	const struct ul_db_merge_row *row = ul_db_merge_row(g, id);

	if (!row)
		return false;
	if (row->lower) {
		*ret = row->number;
		return true;
	}
	*ret = g->candidates.at[row->number].number;
	return !g->candidates.at[row->number].dropped;
}
