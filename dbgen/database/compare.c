/*
 * Whether a database holds what the manifest says. Ids are the database's own matter: rows are found by
 * path, references and outputs by the ids found, and the tables' sizes tell of rows that no path of the
 * manifest led to.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/compare.h"
#include "common/sqlite.h"
#include "common/cleanup.h"
#include "dbgen/database/db.h"
#include "dbgen/database/rows/row.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/database/rows/source.h"

static const char what[] = "comparing Nix's database with the manifest";

struct comparison {
	struct ul_db_source source;
	const char *name; /* of the database */
	sqlite3 *db;
	struct ul_batch_reader *reader;
	struct ul_db_row_buffer buffer;
	int64_t *ids; /* of each path number */
	struct id {
		int64_t id;
		uint32_t number;
	} * by_id;
	struct ul_error *err;
};

static int fail(struct comparison *c)
{
	return ul_sqlite_error(c->err, c->db, what, c->name);
}

#define differ(c, ...) ul_error_set((c)->err, UL_E_CHECK, what, (c)->name, NULL, __VA_ARGS__)

static int prepare(struct comparison *c, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(c->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail(c);
}

/* 1: a row, 0: no row is left. */
static int step(struct comparison *c, sqlite3_stmt *rows)
{
	int code = sqlite3_step(rows);

	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : fail(c);
}

/* text: NULL stands for NULL, which is not "": Nix tells them apart, and stops at the wrong one. */
static bool same_text(sqlite3_stmt *rows, int column, const char *text, int len)
{
	const char *other;

	if (sqlite3_column_type(rows, column) != (text ? SQLITE_TEXT : SQLITE_NULL))
		return false;
	other = (const char *)sqlite3_column_text(rows, column);
	return !text ||
	       (len == sqlite3_column_bytes(rows, column) && (len == 0 || memcmp(text, other, (size_t)len) == 0));
}

/* An integer; 0 stands for NULL where Nix writes that. */
static bool same_number(sqlite3_stmt *rows, int column, int64_t number, bool nullable)
{
	int type = nullable && number == 0 ? SQLITE_NULL : SQLITE_INTEGER;

	return sqlite3_column_type(rows, column) == type && sqlite3_column_int64(rows, column) == number;
}

/* Columns: id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca. */
static const char *row_difference(sqlite3_stmt *rows, const struct ul_db_row *row)
{
	if (!same_text(rows, 2, row->hash, row->hash_len))
		return "hash";
	if (!same_number(rows, 3, row->registered, false))
		return "registrationTime";
	if (!same_text(rows, 4, row->deriver, row->deriver_len))
		return "deriver";
	if (!same_number(rows, 5, row->nar_size, true))
		return "narSize";
	if (!same_number(rows, 6, row->ultimate, true))
		return "ultimate";
	if (!same_text(rows, 7, row->sigs, row->sigs_len))
		return "sigs";
	return same_text(rows, 8, row->ca, row->ca_len) ? NULL : "ca";
}

static int compare_path(struct comparison *c, sqlite3_stmt *rows, const struct ul_db_row *row)
{
	const char *path, *column;
	int r = step(c, rows);

	if (r < 0)
		return r;
	path = r ? (const char *)sqlite3_column_text(rows, 1) : NULL;
	if (!path || !same_text(rows, 1, row->path, row->path_len)) {
		int len = path ? sqlite3_column_bytes(rows, 1) : 0;
		int order = path ? strncmp(path, row->path, (size_t)row->path_len) : 1;

		if (order == 0 && len < row->path_len)
			order = -1;
		if (path && order < 0)
			return differ(c, "%s is in the database and not in the manifest", path);
		return differ(c, "%.*s is in the manifest and not in the database", row->path_len, row->path);
	}
	column = row_difference(rows, row);
	if (column)
		return differ(c, "%s of %s differs from the manifest", column, path);
	c->ids[row->id - 1] = sqlite3_column_int64(rows, 0);
	return 0;
}

static int compare_paths(struct comparison *c)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r = prepare(c,
			"select id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca"
			" from ValidPaths order by path",
			&rows);

	for (uint32_t k = 0; r == 0 && k < c->source.n_batches; k++) {
		struct ul_batch batch;

		r = ul_manifest_read_batch(c->reader, k, UL_COL_NAME | UL_COL_NAR | UL_COL_META, &batch, c->err);
		for (uint32_t i = 0; r == 0 && i < batch.n; i++) {
			struct ul_db_row row;

			r = ul_db_row(&c->buffer, &batch, i, &row, c->err);
			if (r == 0)
				r = compare_path(c, rows, &row);
		}
	}
	if (r < 0)
		return r;
	r = step(c, rows);
	if (r > 0)
		r = differ(c, "%s is in the database and not in the manifest",
			   (const char *)sqlite3_column_text(rows, 1));
	return r;
}

static int by_id(const void *a, const void *b)
{
	const struct id *x = a, *y = b;

	return ul_order(x->id, y->id);
}

static int sort_ids(struct comparison *c)
{
	uint32_t n = c->source.n_paths;

	c->by_id = malloc(((size_t)n + 1) * sizeof(*c->by_id));
	if (!c->by_id)
		return ul_error_nomem(c->err, what);
	for (uint32_t i = 0; i < n; i++)
		c->by_id[i] = (struct id){c->ids[i], i};
	qsort(c->by_id, n, sizeof(*c->by_id), by_id);
	return 0;
}

/* -1: an id that no path has. */
static int64_t number_of(const struct comparison *c, int64_t id)
{
	const struct id key = {.id = id}, *found;

	found = bsearch(&key, c->by_id, c->source.n_paths, sizeof(key), by_id);
	return found ? (int64_t)found->number : -1;
}

static int compare_refs_of(struct comparison *c, sqlite3_stmt *rows, uint32_t number, const uint32_t *refs, uint64_t n)
{
	uint64_t seen = 0;
	int r;

	sqlite3_bind_int64(rows, 1, c->ids[number]);
	while ((r = step(c, rows)) > 0) {
		int64_t to = number_of(c, sqlite3_column_int64(rows, 0));
		uint64_t low = 0, high = n;

		while (low < high && to >= 0) {
			uint64_t middle = (low + high) / 2;

			if (refs[middle] < to)
				low = middle + 1;
			else
				high = middle;
		}
		if (to < 0 || low == n || refs[low] != to)
			break;
		seen++;
	}
	sqlite3_reset(rows);
	if (r < 0)
		return r;
	if (r > 0 || seen != n)
		return differ(c, "the references of path number %" PRIu32 " differ from the manifest", number);
	return 0;
}

static int compare_count(struct comparison *c, const char *sql, uint64_t expected, const char *table)
{
	ul_autostatement sqlite3_stmt *count = NULL;
	int r = prepare(c, sql, &count);

	if (r == 0)
		r = step(c, count);
	if (r < 0)
		return r;
	if ((uint64_t)sqlite3_column_int64(count, 0) != expected)
		return differ(c, "%s has %lld rows in the database, %" PRIu64 " in the manifest", table,
			      (long long)sqlite3_column_int64(count, 0), expected);
	return 0;
}

static int compare_refs(struct comparison *c)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r = prepare(c, "select reference from Refs where referrer = ?", &rows);

	for (uint32_t k = 0; r == 0 && k < c->source.n_batches; k++) {
		struct ul_batch batch;

		r = ul_manifest_read_batch(c->reader, k, UL_COL_REFS, &batch, c->err);
		for (uint32_t i = 0; r == 0 && i < batch.n; i++)
			r = compare_refs_of(c, rows, batch.first + i, batch.refs + batch.ref_off[i],
					    batch.ref_off[i + 1] - batch.ref_off[i]);
	}
	return r < 0 ? r : compare_count(c, "select count(*) from Refs", c->source.n_refs, "Refs");
}

static int compare_outputs(struct comparison *c)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r = prepare(c, "select path from DerivationOutputs where drv = ? and id = ?", &rows);

	for (uint32_t i = 0; r == 0 && i < c->source.n_outputs; i++) {
		const struct ul_drv_output *output = &c->source.outputs[i];

		sqlite3_bind_int64(rows, 1, c->ids[output->drv]);
		sqlite3_bind_text(rows, 2, output->id, -1, SQLITE_STATIC);
		r = step(c, rows);
		if (r >= 0 && (r == 0 || !same_text(rows, 0, output->path, (int)strlen(output->path))))
			r = differ(c, "output %s of path number %" PRIu32 " is missing, or differs from the manifest",
				   output->id, output->drv);
		else if (r > 0)
			r = 0;
		sqlite3_reset(rows);
	}
	return r < 0 ? r
		     : compare_count(c, "select count(*) from DerivationOutputs", c->source.n_outputs,
				     "DerivationOutputs");
}

/* Columns: id, outputPath, signatures, and how many references. */
static int compare_realisation(struct comparison *c, sqlite3_stmt *rows, sqlite3_stmt *ref,
			       const struct ul_realisation *realisation)
{
	const char *signatures = realisation->signatures ? realisation->signatures : "";
	int64_t id;
	int r;

	sqlite3_bind_text(rows, 1, realisation->drv_path, -1, SQLITE_STATIC);
	sqlite3_bind_text(rows, 2, realisation->output_name, -1, SQLITE_STATIC);
	r = step(c, rows);
	if (r < 0)
		return r;
	if (r == 0 || sqlite3_column_int64(rows, 1) != c->ids[realisation->output] ||
	    !same_text(rows, 2, signatures, (int)strlen(signatures)) ||
	    sqlite3_column_int64(rows, 3) != realisation->n_refs)
		goto different;
	id = sqlite3_column_int64(rows, 0);
	for (uint32_t i = 0; i < realisation->n_refs; i++) {
		const struct ul_realisation *to = &c->source.realisations[realisation->refs[i]];

		sqlite3_bind_int64(ref, 1, id);
		sqlite3_bind_text(ref, 2, to->drv_path, -1, SQLITE_STATIC);
		sqlite3_bind_text(ref, 3, to->output_name, -1, SQLITE_STATIC);
		r = step(c, ref);
		sqlite3_reset(ref);
		if (r < 0)
			return r;
		if (r == 0)
			goto different;
	}
	sqlite3_reset(rows);
	return 0;
different:
	return differ(c, "realisation %s!%s is missing, or differs from the manifest", realisation->drv_path,
		      realisation->output_name);
}

static int compare_realisations(struct comparison *c)
{
	ul_autostatement sqlite3_stmt *rows = NULL, *ref = NULL;
	int r;

	if (!ul_sqlite_has_table(c->db, "Realisations"))
		return c->source.n_realisations == 0 ? 0 : differ(c, "it has no table of realisations");
	r = prepare(c,
		    "select id, outputPath, signatures, (select count(*) from RealisationsRefs"
		    " where referrer = id) from Realisations where drvPath = ? and outputName = ?",
		    &rows);
	if (r == 0)
		r = prepare(c,
			    "select 1 from RealisationsRefs join Realisations on id ="
			    " realisationReference where referrer = ? and drvPath = ?"
			    " and outputName = ?",
			    &ref);
	for (uint32_t i = 0; r == 0 && i < c->source.n_realisations; i++)
		r = compare_realisation(c, rows, ref, &c->source.realisations[i]);
	return r < 0 ? r
		     : compare_count(c, "select count(*) from Realisations", c->source.n_realisations, "Realisations");
}

static int compare_traces(struct comparison *c)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int r;

	if (!ul_sqlite_has_table(c->db, "BuildTraceV3"))
		return c->source.n_traces == 0 ? 0 : differ(c, "it has no table of build traces");
	r = prepare(c, "select outputPath, signatures from BuildTraceV3 where drvPath = ? and outputName = ?", &rows);
	for (uint32_t i = 0; r == 0 && i < c->source.n_traces; i++) {
		const struct ul_realisation *trace = &c->source.traces[i];
		const char *signatures = trace->signatures ? trace->signatures : "";
		const char *path = c->source.trace_paths[i];

		sqlite3_bind_text(rows, 1, trace->drv_path, -1, SQLITE_STATIC);
		sqlite3_bind_text(rows, 2, trace->output_name, -1, SQLITE_STATIC);
		r = step(c, rows);
		if (r >= 0 && (r == 0 || !same_text(rows, 0, path, (int)strlen(path)) ||
			       !same_text(rows, 1, signatures, (int)strlen(signatures))))
			return differ(c, "build trace %s!%s is missing, or differs from the manifest", trace->drv_path,
				      trace->output_name);
		sqlite3_reset(rows);
		r = r < 0 ? r : 0;
	}
	return r < 0 ? r : compare_count(c, "select count(*) from BuildTraceV3", c->source.n_traces, "BuildTraceV3");
}

/* A log that has not been moved into the file yet is read with a lock; without a log none is needed. */
static int open_database(struct comparison *c)
{
	ul_autofree char *uri = ul_sqlite_uri(c->name, UL_SQLITE_IMMUTABLE), *log = NULL;
	struct stat st;
	bool logged;

	if (!uri || asprintf(&log, "%s-wal", c->name) < 0)
		return ul_error_nomem(c->err, what);
	logged = stat(log, &st) == 0 && st.st_size > 0;
	if (ul_sqlite_open(logged ? c->name : uri, SQLITE_OPEN_READONLY | (logged ? 0 : SQLITE_OPEN_URI), &c->db) !=
	    SQLITE_OK)
		return fail(c);
	return 0;
}

static int compare_all(struct comparison *c, struct ul_manifest *m)
{
	int r = ul_db_source_open(&c->source, m, c->err);

	if (r < 0)
		return r;
	c->reader = ul_batch_reader_new(m);
	c->ids = malloc(((size_t)c->source.n_paths + 1) * sizeof(*c->ids));
	if (!c->reader || !c->ids)
		return ul_error_nomem(c->err, what);
	r = ul_db_row_buffer_init(&c->buffer, c->source.store_dir, c->err);
	if (r == 0)
		r = open_database(c);
	if (r == 0)
		r = compare_paths(c);
	if (r == 0)
		r = sort_ids(c);
	if (r == 0)
		r = compare_refs(c);
	if (r == 0)
		r = compare_outputs(c);
	if (r == 0)
		r = compare_realisations(c);
	if (r == 0)
		r = compare_traces(c);
	return r;
}

int ul_db_compare(struct ul_manifest *m, const char *db_path, struct ul_error *err)
{
	struct comparison c = {.name = db_path, .err = err};
	int r = compare_all(&c, m);

	sqlite3_close(c.db);
	ul_db_row_buffer_free(&c.buffer);
	ul_batch_reader_free(c.reader);
	free(c.ids);
	free(c.by_id);
	ul_db_source_close(&c.source);
	return r;
}
