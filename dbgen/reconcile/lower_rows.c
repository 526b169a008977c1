/*
 * One path of the lower at a time. Whether the lower has a path, the manifest's digests tell without unpacking
 * anything; what it says of the path comes from the lower's own database, a few pages a path, or, where it is not at
 * hand, from the manifest, a batch of 4096 paths at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/sqlite.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/lower_rows.h"
#include "dbgen/store/hash_text.h"

static const char what[] = "looking into the lower";

static int fail(struct ul_lower_rows *l, struct ul_error *err)
{
	return ul_sqlite_error(err, l->db, what, l->name);
}

static int prepare(struct ul_lower_rows *l, const char *sql, sqlite3_stmt **ret, struct ul_error *err)
{
	return sqlite3_prepare_v2(l->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail(l, err);
}

static int open_database(struct ul_lower_rows *l, struct ul_error *err)
{
	int r;

	if (ul_sqlite_open_immutable(l->name, &l->db) != SQLITE_OK)
		return fail(l, err);
	ul_sqlite_trust_length(l->db);
	r = prepare(l,
		    "select hash, registrationTime, deriver, narSize, ultimate, sigs, ca, id"
		    " from ValidPaths where path = ?",
		    &l->row, err);
	if (r == 0)
		r = prepare(l,
			    "select v.path from Refs r join ValidPaths v on v.id = r.reference"
			    " where r.referrer = ? order by v.path",
			    &l->refs, err);
	if (r == 0)
		r = prepare(l, "select id, path from DerivationOutputs where drv = ?", &l->outputs, err);
	return r;
}

int ul_lower_rows_open(struct ul_lower_rows *l, const struct ul_reconcile_lower *from, struct ul_error *err)
{
	*l = (struct ul_lower_rows){.manifest = from->manifest, .name = from->database};
	if (l->name)
		return open_database(l, err);
	l->reader = ul_batch_reader_new(l->manifest);
	l->names = ul_batch_reader_new(l->manifest);
	return l->reader && l->names ? 0 : ul_error_nomem(err, what);
}

void ul_lower_rows_close(struct ul_lower_rows *l)
{
	sqlite3_finalize(l->row);
	sqlite3_finalize(l->refs);
	sqlite3_finalize(l->outputs);
	sqlite3_close(l->db);
	ul_batch_reader_free(l->reader);
	ul_batch_reader_free(l->names);
	ul_buffer_free(&l->texts);
	ul_vector_free(&l->ref_offsets);
	ul_vector_free(&l->ref_texts);
	*l = (struct ul_lower_rows){0};
}

/* ---- texts of an answer: offsets while they are gathered, pointers once the buffer stays ---- */

static bool keep(struct ul_lower_rows *l, const char *text, size_t len, size_t *ret)
{
	*ret = l->texts.len;
	return ul_buffer_append(&l->texts, text, len) == 0 && ul_buffer_append(&l->texts, "", 1) == 0;
}

static bool keep_path(struct ul_lower_rows *l, const char *base, size_t *ret)
{
	const char *dir = ul_manifest_store_dir(l->manifest);

	*ret = l->texts.len;
	return ul_buffer_append(&l->texts, dir, strlen(dir)) == 0 && ul_buffer_append(&l->texts, "/", 1) == 0 &&
	       ul_buffer_append(&l->texts, base, strlen(base) + 1) == 0;
}

/* Offset 0 is the path itself, so it can stand for any other text that is missing. */
static const char *text_at(const struct ul_lower_rows *l, size_t offset)
{
	return offset ? (const char *)l->texts.data + offset : NULL;
}

struct offsets {
	size_t path, deriver, sigs, ca;
};

/* All texts are there, so they stay where they are. false: no memory. */
static bool settle(struct ul_lower_rows *l, const struct offsets *o, struct ul_path_info *ret)
{
	l->ref_texts.n = 0;
	for (size_t i = 0; i < l->ref_offsets.n; i++)
		if (ul_vector_push(&l->ref_texts, (const char *)l->texts.data + l->ref_offsets.at[i]) < 0)
			return false;
	ret->path = (const char *)l->texts.data;
	ret->deriver = text_at(l, o->deriver);
	ret->sigs = text_at(l, o->sigs);
	ret->ca = text_at(l, o->ca);
	ret->refs = l->ref_texts.at;
	ret->n_refs = l->ref_texts.n;
	return true;
}

/* ---- from the database ---- */

/* 1: there is a row, and the statement is left at it; 0: there is none. */
static int find_row(struct ul_lower_rows *l, const char *base, struct ul_error *err)
{
	size_t path;
	int code;

	l->texts.len = l->ref_offsets.n = 0;
	if (!keep_path(l, base, &path))
		return ul_error_nomem(err, what);
	sqlite3_reset(l->row);
	sqlite3_bind_text(l->row, 1, (const char *)l->texts.data, -1, SQLITE_TRANSIENT);
	code = sqlite3_step(l->row);
	return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : fail(l, err);
}

static bool keep_column(struct ul_lower_rows *l, int column, size_t *ret)
{
	const char *text = (const char *)sqlite3_column_text(l->row, column);

	return !text || !*text || keep(l, text, strlen(text), ret);
}

static int info_of_database(struct ul_lower_rows *l, const char *base, struct ul_path_info *ret, struct ul_error *err)
{
	struct offsets o = {0};
	const char *hash;
	int r = find_row(l, base, err), code = SQLITE_DONE;

	if (r <= 0)
		return r;
	hash = (const char *)sqlite3_column_text(l->row, 0);
	*ret = (struct ul_path_info){.registered = sqlite3_column_int64(l->row, 1),
				     .nar_size = (uint64_t)sqlite3_column_int64(l->row, 3),
				     .ultimate = sqlite3_column_int64(l->row, 4) != 0};
	if (!ul_hash_text_parse(hash, hash ? strlen(hash) : 0, ret->nar_hash))
		return ul_error_set(err, UL_E_DATABASE, what, l->name, "Build the image again.",
				    "the hash of %s is not a SHA-256", base);
	if (!keep_column(l, 2, &o.deriver) || !keep_column(l, 5, &o.sigs) || !keep_column(l, 6, &o.ca))
		return ul_error_nomem(err, what);
	sqlite3_reset(l->refs);
	sqlite3_bind_int64(l->refs, 1, sqlite3_column_int64(l->row, 7));
	while ((code = sqlite3_step(l->refs)) == SQLITE_ROW) {
		const char *path = (const char *)sqlite3_column_text(l->refs, 0);
		size_t at;

		if (!path || !keep(l, path, strlen(path), &at) || ul_vector_push(&l->ref_offsets, at) < 0)
			return ul_error_nomem(err, what);
	}
	if (code != SQLITE_DONE)
		return fail(l, err);
	return settle(l, &o, ret) ? 1 : ul_error_nomem(err, what);
}

/* ---- from the manifest ---- */

static int read_batch(struct ul_lower_rows *l, uint32_t number, struct ul_error *err)
{
	if (l->batch.n > 0 && number >= l->batch.first && number - l->batch.first < l->batch.n)
		return 0;
	l->batch.n = 0;
	return ul_manifest_read_batch(l->reader, number / UL_MANIFEST_BATCH, UL_COL_ALL, &l->batch, err);
}

static int keep_refs(struct ul_lower_rows *l, uint32_t i, struct ul_error *err)
{
	struct ul_batch names = {.n = 0};
	char path[UL_STORE_PATH_SIZE];

	for (uint64_t j = l->batch.ref_off[i]; j < l->batch.ref_off[i + 1]; j++) {
		uint32_t number = l->batch.refs[j];
		size_t at;
		int r = 0;

		if (names.n == 0 || number < names.first || number - names.first >= names.n)
			r = ul_manifest_read_batch(l->names, number / UL_MANIFEST_BATCH, UL_COL_NAME, &names, err);
		if (r < 0)
			return r;
		ul_store_path_text(ul_manifest_store_dir(l->manifest), &names, number - names.first, path);
		if (!keep(l, path, strlen(path), &at) || ul_vector_push(&l->ref_offsets, at) < 0)
			return ul_error_nomem(err, what);
	}
	return 0;
}

static bool keep_text(struct ul_lower_rows *l, const struct ul_text_column *column, uint32_t i, size_t *ret)
{
	uint32_t len = column->off[i + 1] - column->off[i];

	return len == 0 || keep(l, column->bytes + column->off[i], len, ret);
}

/* Derivers of the store directory are kept as base names. */
static bool keep_deriver(struct ul_lower_rows *l, uint32_t i, size_t *ret)
{
	const struct ul_text_column *column = &l->batch.deriver;
	char base[UL_BASE_NAME_MAX + 1];
	uint32_t len = column->off[i + 1] - column->off[i];

	if (len == 0 || column->bytes[column->off[i]] == '/')
		return keep_text(l, column, i, ret);
	if (len >= sizeof(base))
		return false;
	memcpy(base, column->bytes + column->off[i], len);
	base[len] = '\0';
	return keep_path(l, base, ret);
}

static int info_of_manifest(struct ul_lower_rows *l, const char *base, struct ul_path_info *ret, struct ul_error *err)
{
	const struct ul_batch *b = &l->batch;
	struct offsets o = {0};
	uint32_t number = 0, i;
	int r = ul_manifest_find(l->manifest, base, &number, err);

	if (r <= 0)
		return r;
	r = read_batch(l, number, err);
	if (r < 0)
		return r;
	i = number - b->first;
	*ret = (struct ul_path_info){
		.registered = b->registered[i], .nar_size = b->nar_size[i], .ultimate = b->ultimate[i] != 0};
	memcpy(ret->nar_hash, b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, UL_NAR_HASH_SIZE);
	l->texts.len = l->ref_offsets.n = 0;
	if (!keep_path(l, base, &o.path) || !keep_deriver(l, i, &o.deriver) || !keep_text(l, &b->sigs, i, &o.sigs) ||
	    !keep_text(l, &b->ca, i, &o.ca))
		return ul_error_nomem(err, what);
	r = keep_refs(l, i, err);
	if (r < 0)
		return r;
	return settle(l, &o, ret) ? 1 : ul_error_nomem(err, what);
}

/* ---- both ---- */

int ul_lower_rows_has(struct ul_lower_rows *l, const char *base, struct ul_error *err)
{
	uint32_t number;
	int r;

	if (!l->db)
		return ul_manifest_find(l->manifest, base, &number, err);
	r = ul_manifest_has_digest(l->manifest, base, err);
	return r > 0 ? find_row(l, base, err) : r;
}

int ul_lower_rows_info(struct ul_lower_rows *l, const char *base, struct ul_path_info *ret, struct ul_error *err)
{
	return l->db ? info_of_database(l, base, ret, err) : info_of_manifest(l, base, ret, err);
}

static int outputs_of_manifest(struct ul_lower_rows *l, uint32_t number, const char *path, struct ul_builder *b,
			       struct ul_error *err)
{
	const struct ul_drv_output *list;
	uint32_t n = 0, low = 0, high;
	int r = ul_manifest_drv_outputs(l->manifest, &list, &n, err);

	for (high = n; r == 0 && low < high;) {
		uint32_t middle = low + (high - low) / 2;

		if (list[middle].drv < number)
			low = middle + 1;
		else
			high = middle;
	}
	for (; r == 0 && low < n && list[low].drv == number; low++)
		r = ul_builder_add_drv_output(b, path, list[low].id, list[low].path, err);
	return r;
}

int ul_lower_rows_outputs(struct ul_lower_rows *l, const char *base, struct ul_builder *b, struct ul_error *err)
{
	ul_autofree char *path = ul_path_join(ul_manifest_store_dir(l->manifest), base);
	uint32_t number = 0;
	int r, code = SQLITE_DONE;

	if (!path)
		return ul_error_nomem(err, what);
	if (!l->db) {
		r = ul_manifest_find(l->manifest, base, &number, err);
		return r <= 0 ? r : outputs_of_manifest(l, number, path, b, err);
	}
	r = find_row(l, base, err);
	if (r <= 0)
		return r;
	r = 0;
	sqlite3_reset(l->outputs);
	sqlite3_bind_int64(l->outputs, 1, sqlite3_column_int64(l->row, 7));
	while (r == 0 && (code = sqlite3_step(l->outputs)) == SQLITE_ROW)
		r = ul_builder_add_drv_output(b, path, (const char *)sqlite3_column_text(l->outputs, 0),
					      (const char *)sqlite3_column_text(l->outputs, 1), err);
	return r < 0 ? r : code == SQLITE_DONE ? 0 : fail(l, err);
}
