/*
 * The rows of the upper's database in memory, and what becomes of each.
 *
 * Rows are read by id, with SQLite's own checks; one that Nix could not have written is malformed. A database that
 * is damaged gives what can be read before the damage and, from the other end, behind it. Then:
 *   lower's path                       kept, with what this lower says of it
 *   upper's, no entry in store/        gone
 *   upper's, registered since the mark, NAR hash differs        broken
 *   refers to a row that is not kept, or to none                 not kept either
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/encoding.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/reconcile/internal.h"

/* ---- reading ---- */

static bool keep_text(struct ul_rc_rows *rows, const char *text, size_t len, size_t *ret)
{
	*ret = rows->texts.len;
	return ul_buffer_append(&rows->texts, text, len) == 0 && ul_buffer_append(&rows->texts, "", 1) == 0;
}

static bool is_clean(const char *text, size_t len)
{
	return ul_text_clean(text, len);
}

/* Optional metadata: what Nix could not have written is left out. false: no memory. */
static bool keep_optional(struct ul_rc_rows *rows, sqlite3_stmt *q, int column, size_t max,
			  bool (*clean)(const char *, size_t), struct ul_rc_row *row, size_t *ret)
{
	const char *text = (const char *)sqlite3_column_text(q, column);
	size_t len = (size_t)sqlite3_column_bytes(q, column);

	if (!text || len == 0)
		return true;
	if (len > max || strlen(text) != len || !clean(text, len)) {
		row->stripped = true;
		return true;
	}
	return keep_text(rows, text, len, ret);
}

/* As the builder wants it: of this store directory, or an absolute path elsewhere. */
static bool deriver_is_clean(struct ul_rc *c, const char *text)
{
	const char *base = ul_store_base_of(c->store_dir, text);
	size_t dir = strlen(c->store_dir);
	uint8_t digest[UL_DIGEST_SIZE];

	if (base && ul_store_base_parse(base, strlen(base), digest))
		return true;
	return text[0] == '/' && !(strncmp(text, c->store_dir, dir) == 0 && text[dir] == '/');
}

/* Columns: id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca. */
static bool read_row(struct ul_rc *c, struct ul_rc_rows *rows, sqlite3_stmt *q, struct ul_rc_row *row)
{
	const char *path = (const char *)sqlite3_column_text(q, 1), *base = NULL;
	const char *hash = (const char *)sqlite3_column_text(q, 2);
	int64_t size = sqlite3_column_int64(q, 5);
	uint8_t digest[UL_DIGEST_SIZE];

	row->id = sqlite3_column_int64(q, 0);
	row->registered = sqlite3_column_int64(q, 3);
	row->ultimate = sqlite3_column_int64(q, 6) != 0;
	row->nar_size = size < 0 ? 0 : (uint64_t)size;
	if (path && strlen(path) == (size_t)sqlite3_column_bytes(q, 1))
		base = ul_store_base_of(c->store_dir, path);
	if (!base || !ul_store_base_parse(base, strlen(base), digest) || size < 0 || !hash ||
	    strncmp(hash, "sha256:", 7) != 0 ||
	    !ul_hex_decode(hash + 7, strlen(hash + 7), row->nar_hash, UL_NAR_HASH_SIZE)) {
		row->fate = UL_RC_MALFORMED;
		path = path ? path : "";
		return keep_text(rows, base ? base : path, strnlen(base ? base : path, 300), &row->base);
	}
	if (!keep_text(rows, base, strlen(base), &row->base) ||
	    !keep_optional(rows, q, 4, UL_DERIVER_MAX, is_clean, row, &row->deriver) ||
	    !keep_optional(rows, q, 7, UL_SIGS_MAX, ul_sigs_clean, row, &row->sigs) ||
	    !keep_optional(rows, q, 8, UL_CA_MAX, is_clean, row, &row->ca))
		return false;
	if (row->deriver && !deriver_is_clean(c, ul_rc_text(rows, row->deriver))) {
		row->deriver = 0;
		row->stripped = true;
	}
	return true;
}

static int by_id(const void *a, const void *b)
{
	const struct ul_rc_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* One walk over the table, from either end. *ret_damaged: it did not come to the other one. */
static int read_table(struct ul_rc *c, sqlite3 *db, struct ul_rc_rows *rows, const char *sql, bool down, int64_t until,
		      bool *ret_damaged)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int64_t last = 0;
	bool first = true;
	int code;

	*ret_damaged = false;
	code = ul_sqlite_code(sqlite3_prepare_v2(db, sql, -1, &q, NULL));
	while (code == SQLITE_OK || code == SQLITE_ROW) {
		struct ul_rc_row row = {.fate = UL_RC_KEPT};
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
		if (!read_row(c, rows, q, &row) || ul_buffer_append(&rows->list, &row, sizeof(row)) < 0)
			return ul_rc_nomem(c);
	}
	if (code == SQLITE_NOMEM)
		return ul_rc_nomem(c);
	*ret_damaged = code != SQLITE_DONE && code != SQLITE_ROW;
	return 0;
}

static int read_rows(struct ul_rc *c, sqlite3 *db, struct ul_rc_rows *rows)
{
#define COLUMNS                                                                         \
	"select id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca" \
	" from ValidPaths not indexed order by id"
	size_t n;
	bool damaged;
	int r = read_table(c, db, rows, COLUMNS, false, 0, &rows->damaged);

	if (r < 0 || !rows->damaged)
		return r;
	n = ul_rc_n_rows(rows);
	r = read_table(c, db, rows, COLUMNS " desc", true, n > 0 ? ul_rc_row_list(rows)[n - 1].id : INT64_MIN,
		       &damaged);
	if (r == 0 && rows->list.len > 0)
		qsort(rows->list.data, ul_rc_n_rows(rows), sizeof(struct ul_rc_row), by_id);
	return r;
#undef COLUMNS
}

static int read_refs(struct ul_rc *c, struct ul_rc_rows *rows, struct ul_rc_row *row, sqlite3_stmt *q)
{
	int code;

	row->first_ref = rows->refs.len / sizeof(int64_t);
	sqlite3_reset(q);
	sqlite3_bind_int64(q, 1, row->id);
	while ((code = ul_sqlite_code(sqlite3_step(q))) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(q, 0);

		if (row->n_refs > 0 && id <= ul_rc_row_refs(rows, row)[row->n_refs - 1]) {
			code = SQLITE_CORRUPT;
			break;
		}
		if (row->n_refs == UINT32_MAX || ul_buffer_append(&rows->refs, &id, sizeof(id)) < 0)
			return ul_rc_nomem(c);
		row->n_refs++;
	}
	if (code == SQLITE_NOMEM)
		return ul_rc_nomem(c);
	if (code != SQLITE_DONE) {
		/* A path whose references are not known could lose them to the collector. */
		rows->damaged = true;
		row->fate = UL_RC_MALFORMED;
	}
	return 0;
}

int ul_rc_rows_load(struct ul_rc *c, sqlite3 *db, struct ul_rc_rows *ret)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r;

	if (ul_buffer_append(&ret->texts, "", 1) < 0)
		return ul_rc_nomem(c);
	r = read_rows(c, db, ret);
	if (r < 0)
		return r;
	if (sqlite3_prepare_v2(db, "select reference from Refs where referrer = ? order by reference", -1, &q, NULL) !=
	    SQLITE_OK) {
		ret->damaged = true;
		for (size_t i = 0; i < ul_rc_n_rows(ret); i++)
			ul_rc_row_list(ret)[i].fate = UL_RC_MALFORMED;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < ul_rc_n_rows(ret); i++)
		if (ul_rc_row_list(ret)[i].fate == UL_RC_KEPT)
			r = read_refs(c, ret, &ul_rc_row_list(ret)[i], q);
	return r;
}

void ul_rc_rows_free(struct ul_rc_rows *rows)
{
	ul_buffer_free(&rows->list);
	ul_buffer_free(&rows->refs);
	ul_buffer_free(&rows->texts);
}

struct ul_rc_row *ul_rc_rows_find(const struct ul_rc_rows *rows, int64_t id)
{
	const struct ul_rc_row key = {.id = id};

	return rows->list.len == 0
		       ? NULL
		       : bsearch(&key, rows->list.data, ul_rc_n_rows(rows), sizeof(struct ul_rc_row), by_id);
}

/* ---- what the lower says ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool same_refs(const struct ul_rc *c, const struct ul_rc_rows *rows, const struct ul_rc_row *row,
		      const struct ul_path_info *info)
{
	ul_autofree const char **refs = NULL;
	size_t dir = strlen(c->store_dir) + 1;

	if (row->n_refs != info->n_refs)
		return false;
	if (row->n_refs == 0)
		return true;
	refs = malloc(row->n_refs * sizeof(*refs));
	if (!refs)
		return false;
	for (uint32_t i = 0; i < row->n_refs; i++) {
		const struct ul_rc_row *to = ul_rc_rows_find(rows, ul_rc_row_refs(rows, row)[i]);

		if (!to)
			return false;
		refs[i] = ul_rc_text(rows, to->base);
	}
	qsort(refs, row->n_refs, sizeof(*refs), compare_texts);
	for (uint32_t i = 0; i < row->n_refs; i++)
		if (strcmp(refs[i], info->refs[i] + dir) != 0)
			return false;
	return true;
}

/* Nix sorts signatures when it writes them: the same ones in whatever order. */
static bool same_sigs(const char *a, const char *b)
{
	if (strlen(a) != strlen(b))
		return false;
	for (const char *at = a; *at;) {
		size_t len = strcspn(at, " ");
		const char *other = b;

		while (*other && (strcspn(other, " ") != len || memcmp(at, other, len) != 0)) {
			other += strcspn(other, " ");
			other += *other == ' ';
		}
		if (!*other)
			return false;
		at += len;
		at += *at == ' ';
	}
	return true;
}

static bool same_text(const struct ul_rc_rows *rows, size_t offset, const char *text)
{
	return !strcmp(ul_rc_text(rows, offset), text ? text : "");
}

static int compare_with_lower(struct ul_rc *c, struct ul_rc_rows *rows, struct ul_rc_row *row)
{
	struct ul_path_info info;
	int r = ul_rc_lower_info(&c->lower, ul_rc_text(rows, row->base), &info, c->err);

	if (r < 0)
		return r;
	/* What Nix copies is all but the registration time, which some versions set anew. */
	row->differs = r == 0 || row->stripped || memcmp(row->nar_hash, info.nar_hash, UL_NAR_HASH_SIZE) != 0 ||
		       row->nar_size != info.nar_size || (row->ultimate != 0) != info.ultimate ||
		       !same_text(rows, row->deriver, info.deriver) ||
		       !same_sigs(ul_rc_text(rows, row->sigs), info.sigs ? info.sigs : "") ||
		       !same_text(rows, row->ca, info.ca) || !same_refs(c, rows, row, &info);
	return 0;
}

/* ---- fates ---- */

static int check_nar(struct ul_rc *c, struct ul_rc_rows *rows, struct ul_rc_row *row)
{
	int r = ul_rc_check_nar(c, ul_rc_text(rows, row->base), row->nar_hash, row->nar_size);

	if (r == 0)
		row->fate = UL_RC_BROKEN;
	return r < 0 ? r : 0;
}

static int judge_row(struct ul_rc *c, struct ul_rc_rows *rows, struct ul_rc_row *row, bool prune)
{
	const char *base = ul_rc_text(rows, row->base);
	int r = ul_rc_lower_has(&c->lower, base, c->err);

	if (r < 0)
		return r;
	row->lower = r;
	if (row->lower && row->fate != UL_RC_KEPT) {
		/* Whatever it says: the lower knows better. */
		row->fate = UL_RC_KEPT;
		row->differs = true;
		return 0;
	}
	if (row->fate != UL_RC_KEPT)
		return 0;
	if (row->lower)
		return prune ? 0 : compare_with_lower(c, rows, row);
	if (!ul_rc_has_entry(c, base)) {
		row->fate = UL_RC_GONE;
		return 0;
	}
	/* Of a damaged database nothing is believed that the files do not bear out. */
	if (rows->damaged || (!c->report->was_clean && row->id > c->before.checked_id))
		return check_nar(c, rows, row);
	return 0;
}

/* A path given twice: the index has one of the rows, and nobody knows which. */
static int find_doubles(struct ul_rc *c, struct ul_rc_rows *rows)
{
	size_t n = ul_rc_n_rows(rows), kept = 0;
	struct named {
		const char *base;
		size_t row;
	} *list = malloc((n + 1) * sizeof(*list));

	if (!list)
		return ul_rc_nomem(c);
	for (size_t i = 0; i < n; i++)
		if (ul_rc_row_list(rows)[i].fate == UL_RC_KEPT)
			list[kept++] = (struct named){ul_rc_text(rows, ul_rc_row_list(rows)[i].base), i};
	qsort(list, kept, sizeof(*list), compare_texts);
	for (size_t i = 1; i < kept; i++)
		if (!strcmp(list[i - 1].base, list[i].base)) {
			struct ul_rc_row *row = &ul_rc_row_list(rows)[list[i].row];

			row->differs = row->lower;
			row->fate = row->lower ? UL_RC_KEPT : UL_RC_MALFORMED;
		}
	free(list);
	return 0;
}

/* Who refers to what goes, goes too. A row of the lower takes the lower's references, so it does not. */
static int drop_referrers(struct ul_rc *c, struct ul_rc_rows *rows)
{
	size_t n = ul_rc_n_rows(rows), n_refs = rows->refs.len / sizeof(int64_t), top = 0;
	ul_autofree size_t *first = calloc(n + 2, sizeof(*first));
	ul_autofree size_t *at = malloc((n_refs + 1) * sizeof(*at));
	ul_autofree size_t *stack = malloc((n + 1) * sizeof(*stack));
	struct ul_rc_row *list = ul_rc_row_list(rows);

	if (!first || !at || !stack)
		return ul_rc_nomem(c);
	/* Counts are kept two places on, so that filling moves each start to where it belongs. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			for (uint32_t k = 0; k < list[i].n_refs && !list[i].lower; k++) {
				const struct ul_rc_row *to = ul_rc_rows_find(rows, ul_rc_row_refs(rows, &list[i])[k]);

				if (!to && list[i].fate == UL_RC_KEPT)
					list[i].fate = UL_RC_REFERENCE;
				if (to && pass == 0)
					first[to - list + 2]++;
				else if (to)
					at[first[to - list + 1]++] = i;
			}
		}
		for (size_t i = 2; pass == 0 && i < n + 2; i++)
			first[i] += first[i - 1];
	}
	for (size_t i = 0; i < n; i++)
		if (list[i].fate != UL_RC_KEPT)
			stack[top++] = i;
	while (top > 0) {
		size_t i = stack[--top];

		for (size_t k = first[i]; k < first[i + 1]; k++)
			if (list[at[k]].fate == UL_RC_KEPT) {
				list[at[k]].fate = UL_RC_REFERENCE;
				stack[top++] = at[k];
			}
	}
	return 0;
}

int ul_rc_rows_judge(struct ul_rc *c, struct ul_rc_rows *rows, bool prune)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ul_rc_n_rows(rows); i++)
		r = judge_row(c, rows, &ul_rc_row_list(rows)[i], prune);
	if (r == 0)
		r = find_doubles(c, rows);
	return r < 0 ? r : drop_referrers(c, rows);
}

int ul_rc_report_invalid(struct ul_rc *c, const char *base, enum ul_rc_fate fate)
{
	static const char *const why[] = {
		[UL_RC_MALFORMED] = "its row is none that Nix writes, or cannot be read",
		[UL_RC_GONE] = "neither the lower nor the upper has it",
		[UL_RC_BROKEN] = "its files are not those that were registered",
		[UL_RC_REFERENCE] = "it refers to a path that is not valid any more",
	};

	if (fate == UL_RC_REFERENCE && c->lost++ == 0)
		snprintf(c->lost_name, sizeof(c->lost_name), "%s", base);
	return ul_rc_report(c, UL_RECONCILE_INVALIDATED, base, "%s", why[fate]);
}

int ul_rc_rows_report(struct ul_rc *c, const struct ul_rc_rows *rows)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ul_rc_n_rows(rows); i++) {
		const struct ul_rc_row *row = &ul_rc_row_list(rows)[i];
		const char *base = ul_rc_text(rows, row->base);

		if (row->fate != UL_RC_KEPT)
			r = ul_rc_report_invalid(c, base, (enum ul_rc_fate)row->fate);
		else if (row->differs)
			r = ul_rc_report(c, UL_RECONCILE_UPDATED, base, "the lower says otherwise of it");
	}
	return r;
}
