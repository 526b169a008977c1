/*
 * The rows of the upper's database in memory. Rows are read by id, with SQLite's own checks; one that Nix could not
 * have written is malformed. A database that is damaged gives what can be read before the damage and, from the other
 * end, behind it.
 */
#include "dbgen/reconcile/rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/foreign.h"

static const char what[] = "reading the upper's database";

/* Shared by all of the reading. */
struct reading {
	sqlite3 *db;
	const char *store_dir;
	struct ul_rows *rows;
	struct ul_error *err;
};

static int nomem(struct reading *r)
{
	return ul_error_nomem(r->err, what);
}

static bool keep_text(struct ul_rows *rows, const char *text, size_t *ret)
{
	*ret = rows->texts.len;
	return ul_buffer_append(&rows->texts, text, strlen(text) + 1) == 0;
}

/* Optional metadata. false: no memory. */
static bool keep_optional(struct ul_rows *rows, const char *text, size_t *ret)
{
	return !text || keep_text(rows, text, ret);
}

#define COLUMNS "select id, path, " UL_DB_FOREIGN_COLUMNS " from ValidPaths not indexed order by id"

/* A row of COLUMNS. false: no memory. */
static bool read_row(struct reading *r, sqlite3_stmt *q, struct ul_row *row)
{
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base = ul_db_foreign_base(q, 1, r->store_dir, digest);
	struct ul_db_foreign values;

	row->id = sqlite3_column_int64(q, 0);
	row->named = base;
	if (!keep_text(r->rows, base ? base : ul_fate_name(r->store_dir, ul_db_foreign_path(q, 1)), &row->base))
		return false;
	if (!base || !ul_db_foreign_read(q, 2, r->store_dir, &values)) {
		row->fate = UL_FATE_MALFORMED;
		return true;
	}
	memcpy(row->nar_hash, values.nar_hash, sizeof(row->nar_hash));
	row->nar_size = values.nar_size;
	row->registered = values.registered;
	row->ultimate = values.ultimate;
	row->stripped = values.stripped;
	return keep_optional(r->rows, values.deriver, &row->deriver) &&
	       keep_optional(r->rows, values.sigs, &row->sigs) && keep_optional(r->rows, values.ca, &row->ca);
}

static int by_id(const void *a, const void *b)
{
	const struct ul_row *x = a, *y = b;

	return ul_order(x->id, y->id);
}

/*
 * One walk over the table, from either end; down: to the rows behind `until`. *ret_damaged: it did not come to the
 * other end.
 */
static int read_table(struct reading *r, bool down, int64_t until, bool *ret_damaged)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int64_t last = 0;
	bool first = true;
	int code = ul_sqlite_code(sqlite3_prepare_v2(r->db, down ? COLUMNS " desc" : COLUMNS, -1, &q, NULL));

	*ret_damaged = false;
	while (code == SQLITE_OK || code == SQLITE_ROW) {
		struct ul_row row = {.fate = UL_FATE_KEPT};
		int64_t id;

		code = ul_sqlite_code(sqlite3_step(q));
		if (code != SQLITE_ROW)
			break;
		id = sqlite3_column_int64(q, 0);
		/* A tree that leads in circles would never end. */
		if (!first && (down ? id >= last : id <= last))
			code = SQLITE_CORRUPT;
		if (code == SQLITE_CORRUPT || (down && id <= until))
			break;
		first = false;
		last = id;
		if (!read_row(r, q, &row) || ul_vector_push(&r->rows->list, row) < 0)
			return nomem(r);
	}
	if (code == SQLITE_NOMEM)
		return nomem(r);
	*ret_damaged = code != SQLITE_DONE && code != SQLITE_ROW;
	return 0;
}

static int read_rows(struct reading *r)
{
	struct ul_rows *rows = r->rows;
	bool damaged;
	int res = read_table(r, false, 0, &rows->damaged);

	if (res < 0 || !rows->damaged)
		return res;
	res = read_table(r, true, rows->list.n > 0 ? rows->list.at[rows->list.n - 1].id : INT64_MIN, &damaged);
	ul_vector_sort(&rows->list, by_id);
	return res;
}

static int read_refs(struct reading *r, struct ul_row *row, sqlite3_stmt *q)
{
	struct ul_rows *rows = r->rows;
	int code;

	row->first_ref = rows->refs.n;
	sqlite3_reset(q);
	sqlite3_bind_int64(q, 1, row->id);
	while ((code = ul_sqlite_code(sqlite3_step(q))) == SQLITE_ROW) {
		int64_t id;

		if (!ul_db_foreign_id(q, 0, &id)) {
			row->fate = UL_FATE_MALFORMED;
			return 0;
		}
		if (row->n_refs > 0 && id <= rows->refs.at[rows->refs.n - 1]) {
			code = SQLITE_CORRUPT;
			break;
		}
		if (row->n_refs == UINT32_MAX || ul_vector_push(&rows->refs, id) < 0)
			return nomem(r);
		row->n_refs++;
	}
	if (code == SQLITE_NOMEM)
		return nomem(r);
	if (code != SQLITE_DONE) {
		/* A path whose references are not known could lose them to the collector. */
		rows->damaged = true;
		row->fate = UL_FATE_MALFORMED;
	}
	return 0;
}

int ul_rows_load(sqlite3 *db, const char *store_dir, struct ul_rows *ret, struct ul_error *err)
{
	struct reading r = {.db = db, .store_dir = store_dir, .rows = ret, .err = err};
	ul_autostatement sqlite3_stmt *q = NULL;
	int res;

	*ret = (struct ul_rows){.damaged = false};
	if (ul_buffer_append(&ret->texts, "", 1) < 0)
		return nomem(&r);
	res = read_rows(&r);
	if (res < 0)
		return res;
	if (sqlite3_prepare_v2(db, "select reference from Refs where referrer = ? order by reference", -1, &q, NULL) !=
	    SQLITE_OK) {
		ret->damaged = true;
		for (size_t i = 0; i < ret->list.n; i++)
			ret->list.at[i].fate = UL_FATE_MALFORMED;
		return 0;
	}
	for (size_t i = 0; res == 0 && i < ret->list.n; i++)
		if (ret->list.at[i].fate == UL_FATE_KEPT)
			res = read_refs(&r, &ret->list.at[i], q);
	return res;
}

void ul_rows_free(struct ul_rows *rows)
{
	ul_vector_free(&rows->list);
	ul_vector_free(&rows->refs);
	ul_buffer_free(&rows->texts);
}

struct ul_row *ul_rows_find(const struct ul_rows *rows, int64_t id)
{
	const struct ul_row key = {.id = id};

	return rows->list.n == 0 ? NULL : bsearch(&key, rows->list.at, rows->list.n, sizeof(key), by_id);
}
