#include "dbgen/collect/rows.h"

#include <stdbool.h>
#include <string.h>

#include "common/sqlite.h"

#define PATIENCE_MS 60000 /* until another writer has to be done; Nix's own transactions are short */

static const char what[] = "deleting rows of Nix's database";

/*
 * What hangs on a row goes before it. Nix has triggers and cascades for most of it; of those, a trigger is code of the
 * file, and does not run here. What refers to the row from elsewhere forbids its deletion, as the schema has it.
 */
static const char *const steps[] = {
	"delete from RealisationsRefs where realisationReference in (select id from Realisations where outputPath = ?1)",
	"delete from RealisationsRefs where referrer in (select id from Realisations where outputPath = ?1)",
	"delete from Realisations where outputPath = ?1",
	"delete from DerivationOutputs where drv = ?1",
	"delete from Refs where referrer = ?1",
	"delete from ValidPaths where id = ?1 and path = ?2",
};
#define N_STEPS     ((int)UL_ARRAY_SIZE(steps))
#define REALISATION 3 /* so many are about realisations, which not every database has */

static int fail(struct ul_collect_db *d, struct ul_error *err)
{
	return ul_sqlite_error(err, d->db, what, d->path);
}

static int execute(struct ul_collect_db *d, const char *sql, struct ul_error *err)
{
	return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(d, err);
}

static bool has_realisations(struct ul_collect_db *d)
{
	return sqlite3_table_column_metadata(d->db, "main", "RealisationsRefs", "referrer", NULL, NULL, NULL, NULL,
					     NULL) == SQLITE_OK;
}

int ul_collect_db_open(const char *path, bool read_only, struct ul_collect_db *ret, struct ul_error *err)
{
	int r;

	*ret = (struct ul_collect_db){.path = path};
	if (ul_sqlite_open(path, read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, &ret->db) != SQLITE_OK)
		return ul_sqlite_error(err, ret->db, "opening Nix's database", path);
	ul_sqlite_trust_length(ret->db);
	sqlite3_busy_timeout(ret->db, PATIENCE_MS);
	r = execute(ret, "pragma foreign_keys = on; pragma synchronous = full", err);
	for (int i = r == 0 && has_realisations(ret) ? 0 : REALISATION; r == 0 && !read_only && i < N_STEPS; i++) {
		if (sqlite3_prepare_v2(ret->db, steps[i], -1, &ret->statements[i], NULL) != SQLITE_OK)
			r = fail(ret, err);
	}
	if (r == 0 && sqlite3_prepare_v2(ret->db, "select 1 from ValidPaths where path = ?1", -1,
					 &ret->statements[N_STEPS], NULL) != SQLITE_OK)
		r = fail(ret, err);
	return r;
}

void ul_collect_db_close(struct ul_collect_db *d)
{
	for (size_t i = 0; i < UL_ARRAY_SIZE(d->statements); i++)
		sqlite3_finalize(d->statements[i]);
	sqlite3_close(d->db);
	*d = (struct ul_collect_db){.db = NULL};
}

int ul_collect_db_begin(struct ul_collect_db *d, struct ul_error *err)
{
	return execute(d, "begin immediate", err);
}

int ul_collect_db_commit(struct ul_collect_db *d, struct ul_error *err)
{
	return execute(d, "commit", err);
}

/* 1: done; 0: a foreign key forbids it; negative. */
static int step(struct ul_collect_db *d, sqlite3_stmt *statement, int64_t id, const char *path, struct ul_error *err)
{
	int code;

	sqlite3_bind_int64(statement, 1, id);
	if (sqlite3_bind_parameter_count(statement) > 1)
		sqlite3_bind_text(statement, 2, path, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_reset(statement);
	if (code == SQLITE_DONE)
		return 1;
	return (code & 0xff) == SQLITE_CONSTRAINT ? 0 : fail(d, err);
}

int ul_collect_db_delete(struct ul_collect_db *d, int64_t id, const char *path, struct ul_error *err)
{
	int r = execute(d, "savepoint path", err);
	bool gone = r == 0;

	for (int i = 0; r == 0 && gone && i < N_STEPS; i++) {
		int done = d->statements[i] ? step(d, d->statements[i], id, path, err) : 1;

		r = done < 0 ? done : 0;
		gone = done > 0;
	}
	/*
	 * Changes of the last step: none where somebody put another database in place, whose row of this id has
	 * another path.
	 */
	gone = gone && r == 0 && sqlite3_changes(d->db) == 1;
	if (r == 0 && !gone)
		r = execute(d, "rollback to path", err);
	if (r == 0)
		r = execute(d, "release path", err);
	return r < 0 ? r : gone;
}

int ul_collect_db_has(struct ul_collect_db *d, const char *path, struct ul_error *err)
{
	sqlite3_stmt *statement = d->statements[N_STEPS];
	int code;

	sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_reset(statement);
	return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : fail(d, err);
}
