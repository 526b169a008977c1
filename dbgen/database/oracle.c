/*
 * Nix's database through SQLite's own API: one transaction, rows in the order of the b-trees, indexes
 * made when their tables are full. Every byte of the file is SQLite's, so this is what the bulk writer
 * (dbgen/database/pages/bulk.c) is compared with.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sqlite.h"
#include "common/cleanup.h"
#include "dbgen/database/rows/row.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/database/rows/writers.h"

static const char what[] = "writing Nix's database";

struct oracle {
	const struct ul_db_source *source;
	const char *name;
	sqlite3 *db;
	struct ul_batch_reader *reader;
	struct ul_db_row_buffer buffer;
	struct ul_error *err;
};

static int fail(struct oracle *o)
{
	return ul_sqlite_error(o->err, o->db, what, o->name);
}

static int run(struct oracle *o, const char *sql)
{
	return sqlite3_exec(o->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(o);
}

static int prepare(struct oracle *o, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(o->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail(o);
}

static int insert(struct oracle *o, sqlite3_stmt *statement)
{
	int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(o);

	sqlite3_reset(statement);
	return r;
}

/* The bindings' results are not looked at: a binding that failed for memory makes the step fail. */
static void bind_text(sqlite3_stmt *statement, int column, const char *text, int len)
{
	sqlite3_bind_text(statement, column, text, len, SQLITE_STATIC);
}

/* Without the column that comes when the rows are there, so that they do not have it. */
static int create_paths(struct oracle *o, const char *sql)
{
	ul_autofree char *text = NULL;
	int len = (int)(strlen(sql) - strlen(UL_DB_ADDED_COLUMN));

	return asprintf(&text, "%.*s)", len, sql) < 0 ? ul_error_nomem(o->err, what) : run(o, text);
}

/* Tables, and the triggers, which have no b-tree; indexes come last. */
static int create_objects(struct oracle *o, bool indexes)
{
	for (size_t i = 0; i < ul_db_n_objects; i++) {
		const struct ul_db_object *object = &ul_db_objects[i];
		bool is_index = !strcmp(object->type, "index");
		int r;

		if (!object->sql || object->tree == UL_TREE_SEQUENCE || is_index != indexes)
			continue;
		r = object->tree == UL_TREE_VALID_PATHS ? create_paths(o, object->sql) : run(o, object->sql);
		if (r < 0)
			return r;
	}
	return 0;
}

static int insert_paths(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *statement = NULL;
	int r = prepare(o, "insert into ValidPaths values (?,?,?,?,?,?,?,?,?)", &statement);

	for (uint32_t k = 0; r == 0 && k < o->source->n_batches; k++) {
		struct ul_batch batch;

		r = ul_db_source_read_batch(o->source, o->reader, k, UL_COL_NAME | UL_COL_NAR | UL_COL_META, &batch,
					    o->err);
		for (uint32_t i = 0; r == 0 && i < batch.n; i++) {
			struct ul_db_row row;

			r = ul_db_row(&o->buffer, &batch, i, &row, o->err);
			if (r < 0)
				break;
			sqlite3_bind_int64(statement, 1, row.id);
			bind_text(statement, 2, row.path, row.path_len);
			bind_text(statement, 3, row.hash, row.hash_len);
			sqlite3_bind_int64(statement, 4, row.registered);
			bind_text(statement, 5, row.deriver, row.deriver_len);
			if (row.nar_size)
				sqlite3_bind_int64(statement, 6, row.nar_size);
			else
				sqlite3_bind_null(statement, 6);
			if (row.ultimate)
				sqlite3_bind_int(statement, 7, 1);
			else
				sqlite3_bind_null(statement, 7);
			bind_text(statement, 8, row.sigs, row.sigs_len);
			bind_text(statement, 9, row.ca, row.ca_len);
			r = insert(o, statement);
		}
	}
	return r;
}

static int insert_refs(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *statement = NULL;
	int r = prepare(o, "insert into Refs values (?, ?)", &statement);

	for (uint32_t k = 0; r == 0 && k < o->source->n_batches; k++) {
		struct ul_batch batch;

		r = ul_db_source_read_batch(o->source, o->reader, k, UL_COL_REFS, &batch, o->err);
		for (uint32_t i = 0; r == 0 && i < batch.n; i++) {
			sqlite3_bind_int64(statement, 1, (int64_t)batch.first + i + 1);
			for (uint64_t j = batch.ref_off[i]; r == 0 && j < batch.ref_off[i + 1]; j++) {
				sqlite3_bind_int64(statement, 2, (int64_t)batch.refs[j] + 1);
				r = insert(o, statement);
			}
		}
	}
	return r;
}

static int insert_outputs(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *statement = NULL;
	int r = prepare(o, "insert into DerivationOutputs values (?, ?, ?)", &statement);

	for (uint32_t i = 0; r == 0 && i < o->source->n_outputs; i++) {
		const struct ul_drv_output *output = &o->source->outputs[i];

		sqlite3_bind_int64(statement, 1, (int64_t)output->drv + 1);
		bind_text(statement, 2, output->id, -1);
		bind_text(statement, 3, output->path, -1);
		r = insert(o, statement);
	}
	return r;
}

static int insert_realisations(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *row = NULL, *ref = NULL;
	int r = prepare(o, "insert into Realisations values (?, ?, ?, ?, ?)", &row);

	if (r == 0)
		r = prepare(o, "insert into RealisationsRefs values (?, ?)", &ref);
	for (uint32_t i = 0; r == 0 && i < o->source->n_realisations; i++) {
		const struct ul_realisation *realisation = &o->source->realisations[i];

		sqlite3_bind_int64(row, 1, (int64_t)i + 1);
		bind_text(row, 2, realisation->drv_path, -1);
		bind_text(row, 3, realisation->output_name, -1);
		sqlite3_bind_int64(row, 4, (int64_t)realisation->output + 1);
		bind_text(row, 5, realisation->signatures ? realisation->signatures : "", -1);
		r = insert(o, row);
		sqlite3_bind_int64(ref, 1, (int64_t)i + 1);
		for (uint32_t j = 0; r == 0 && j < realisation->n_refs; j++) {
			sqlite3_bind_int64(ref, 2, (int64_t)realisation->refs[j] + 1);
			r = insert(o, ref);
		}
	}
	return r;
}

static int insert_traces(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	int r = prepare(o, "insert into BuildTraceV3 values (?, ?, ?, ?, ?)", &row);

	for (uint32_t i = 0; r == 0 && i < o->source->n_traces; i++) {
		const struct ul_realisation *trace = &o->source->traces[i];

		sqlite3_bind_int64(row, 1, (int64_t)i + 1);
		bind_text(row, 2, trace->drv_path, -1);
		bind_text(row, 3, trace->output_name, -1);
		bind_text(row, 4, o->source->trace_paths[i], -1);
		bind_text(row, 5, trace->signatures ? trace->signatures : "", -1);
		r = insert(o, row);
	}
	return r;
}

static int insert_migrations(struct oracle *o)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	int r = prepare(o, "insert into SchemaMigrations values (?)", &row);

	for (size_t i = 0; r == 0 && i < ul_db_n_migrations; i++) {
		bind_text(row, 1, ul_db_migrations[i], -1);
		r = insert(o, row);
	}
	return r;
}

/* dir/name by way of the descriptor: SQLite wants a path. */
static int open_database(struct oracle *o, int dirfd)
{
	char path[64 + NAME_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, o->name);
	if (ul_sqlite_create(path, &o->db) != SQLITE_OK)
		return fail(o);
	/* The caller sees to a file that is whole or not there, so no journal and no fsync. */
	return run(o, "pragma page_size = 4096; pragma journal_mode = off;"
		      "pragma synchronous = off; pragma locking_mode = exclusive;"
		      "pragma foreign_keys = off; pragma temp_store = memory;"
		      "pragma cache_size = -65536");
}

static int write_all(struct oracle *o)
{
	int r = run(o, "begin");

	if (r == 0)
		r = create_objects(o, false);
	if (r == 0)
		r = insert_paths(o);
	if (r == 0)
		r = insert_refs(o);
	if (r == 0)
		r = insert_outputs(o);
	if (r == 0)
		r = insert_realisations(o);
	if (r == 0)
		r = insert_traces(o);
	if (r == 0)
		r = insert_migrations(o);
	if (r == 0)
		r = run(o, "alter table ValidPaths add column provenance text");
	if (r == 0)
		r = create_objects(o, true);
	if (r == 0)
		r = run(o, "commit");
	return r;
}

int ul_db_write_sqlite(const struct ul_db_source *s, int dirfd, const char *name, struct ul_error *err)
{
	struct oracle o = {.source = s, .name = name, .err = err};
	int r;

	o.reader = ul_batch_reader_new(s->manifest);
	if (!o.reader)
		return ul_error_nomem(err, what);
	r = ul_db_row_buffer_init(&o.buffer, s->store_dir, err);
	if (r == 0)
		r = open_database(&o, dirfd);
	if (r == 0)
		r = write_all(&o);
	if (sqlite3_close(o.db) != SQLITE_OK && r == 0)
		r = fail(&o);
	ul_db_row_buffer_free(&o.buffer);
	ul_batch_reader_free(o.reader);
	return r;
}
