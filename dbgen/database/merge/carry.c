/*
 * See carry.h. The old database is hostile: its texts of tables and indexes become SQL here, so that what they say of
 * keys and other tables holds on. Each is compiled as one statement, behind an authorizer that permits a table or an
 * index and nothing else: no selection, no function. (What a CHECK says is kept, and not run here.) Work is bounded by
 * the old file's size, since pages that lead to each other can make a table look endless.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/database/merge/carry.h"
#include "dbgen/database/rows/schema.h"

static const char what[] = "taking along what Nix's old database has besides";

#define MOST_TABLES    256
#define STEP           10000 /* of SQLite's machine, between two looks at the budget */
#define STEPS_AT_LEAST 5000  /* about a second */

struct ul_db_carry {
	const struct ul_db_options *options;
	sqlite3 *db;    /* "main": the old one; "made": the new one */
	uint64_t steps; /* that are left */
	struct ul_error *err;
};

/* ---- SQL ---- */

static int count_steps(void *user)
{
	struct ul_db_carry *c = user;

	if (c->steps > 0)
		c->steps--;
	return c->steps == 0;
}

/* 0, or negative for what must end the work; *ret_code: SQLite's, for what may go on without this. */
static int judge(struct ul_db_carry *c, int code, int *ret_code)
{
	code = (code & 0xff) == SQLITE_INTERRUPT ? SQLITE_INTERRUPT : ul_sqlite_code(code) & 0xff;
	*ret_code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
	if (code == SQLITE_NOMEM || code == SQLITE_FULL || code == SQLITE_IOERR)
		return code == SQLITE_IOERR ? ul_error_set(c->err, UL_E_SYSTEM, what, "db.sqlite", NULL, "%s",
							   ul_sqlite_message(c->db))
					    : ul_sqlite_error(c->err, c->db, what, "db.sqlite");
	return 0;
}

/* Run SQL, which is sqlite3_mprintf's and freed here. */
static int run(struct ul_db_carry *c, char *sql, int *ret_code)
{
	int code = sql ? sqlite3_exec(c->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return judge(c, code, ret_code);
}

/* The first column of all rows. */
static int list(struct ul_db_carry *c, char *sql, struct ul_names *ret, int *ret_code)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	int code = sql ? sqlite3_prepare_v2(c->db, sql, -1, &rows, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	while (code == SQLITE_OK || code == SQLITE_ROW) {
		const char *text;

		code = sqlite3_step(rows);
		text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(rows, 0) : NULL;
		if (text && ul_names_add(ret, text) < 0)
			return ul_error_nomem(c->err, what);
	}
	return judge(c, code, ret_code);
}

/* The number in the first column of the first row; 0: there is none. */
static int64_t number(struct ul_db_carry *c, char *sql)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	bool there =
		sql && sqlite3_prepare_v2(c->db, sql, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW;

	sqlite3_free(sql);
	return there ? sqlite3_column_int64(row, 0) : 0;
}

static void leave_out(const struct ul_db_carry *c, const char *kind, const char *name, const char *of, const char *why)
{
	char text[400];

	snprintf(text, sizeof(text), "%.40s%s%.100s%s%.100s", kind, *name ? " " : "", name, of ? " of " : "",
		 of ? of : "");
	if (c->options->left_out)
		c->options->left_out(c->options->user, text, why);
}

static const char *message(const struct ul_db_carry *c, int code)
{
	return code == SQLITE_INTERRUPT ? "reading it comes to no end"
	       : code == SQLITE_AUTH    ? "its definition holds more than Nix writes into one"
					: ul_sqlite_message(c->db);
}

/* ---- one thing: all of it, or none ---- */

struct thing {
	const char *kind, *name, *of; /* for messages */
};

static int begin_thing(struct ul_db_carry *c, int *ret_code)
{
	return run(c, sqlite3_mprintf("begin"), ret_code);
}

/* r and code: how it went; a failure is told. Some failures end the transaction by themselves. */
static int end_thing(struct ul_db_carry *c, const struct thing *t, int r, int code)
{
	if (r == 0 && code == SQLITE_OK)
		r = run(c, sqlite3_mprintf("commit"), &code);
	if (r == 0 && code != SQLITE_OK)
		leave_out(c, t->kind, t->name, t->of, message(c, code));
	if (!sqlite3_get_autocommit(c->db) && sqlite3_exec(c->db, "rollback", NULL, NULL, NULL) != SQLITE_OK && r == 0)
		r = ul_sqlite_error(c->err, c->db, what, "db.sqlite");
	return r;
}

/* ---- tables ---- */

static int permit(void *user, int action, const char *a, const char *b, const char *c, const char *d)
{
	(void)user;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	switch (action) {
	case SQLITE_CREATE_TABLE:
	case SQLITE_CREATE_INDEX:
	case SQLITE_REINDEX:
	case SQLITE_INSERT: /* these three: of the schema's own table */
	case SQLITE_UPDATE:
	case SQLITE_READ:
		return SQLITE_OK;
	default:
		return SQLITE_DENY;
	}
}

/* Make the object in the new database. SQLite keeps its text from the name on as it is given. */
static int define(struct ul_db_carry *c, const char *sql, const char *const *heads, int *ret_code)
{
	ul_autostatement sqlite3_stmt *statement = NULL;
	char *text = NULL;

	for (; *heads && !text; heads++)
		if (!strncmp(sql, *heads, strlen(*heads)))
			text = sqlite3_mprintf("%smade.%s", *heads, sql + strlen(*heads));
	if (!text) {
		*ret_code = SQLITE_AUTH;
		return 0;
	}
	sqlite3_set_authorizer(c->db, permit, NULL);
	*ret_code = sqlite3_prepare_v2(c->db, text, -1, &statement, NULL);
	sqlite3_set_authorizer(c->db, NULL, NULL);
	sqlite3_free(text);
	/* A second statement in the text is not run. */
	return judge(c, *ret_code == SQLITE_OK ? sqlite3_step(statement) : *ret_code, ret_code);
}

/* The id that a path has now, of the one that it had. */
#define NEW_ID(column)                                                                         \
	"(select n.id from main.ValidPaths o join made.ValidPaths n on n.path = o.path where " \
	"o.id = t." column ")"

/* "COLUMNS" and what is selected for them, and the condition under which a row has all its paths. */
struct copying {
	sqlite3_str *columns, *values, *where;
};

static void add_column(struct copying *to, const char *column, bool path)
{
	const char *comma = sqlite3_str_length(to->columns) > 0 ? ", " : "";

	sqlite3_str_appendf(to->columns, "%s\"%w\"", comma, column);
	if (path) {
		sqlite3_str_appendf(to->values, "%s" NEW_ID("\"%w\""), comma, column);
		sqlite3_str_appendf(to->where, " and (t.\"%w\" is null or " NEW_ID("\"%w\"") " is not null)", column,
				    column);
	} else {
		sqlite3_str_appendf(to->values, "%st.\"%w\"", comma, column);
	}
}

static char *copying_sql(struct ul_db_carry *c, const char *table, const struct ul_names *columns,
			 const struct ul_names *paths)
{
	struct copying to = {sqlite3_str_new(c->db), sqlite3_str_new(c->db), sqlite3_str_new(c->db)};
	char *names, *values, *where, *sql;

	for (size_t i = 0; i < columns->n; i++)
		add_column(&to, columns->at[i], ul_names_has(paths, columns->at[i]));
	names = sqlite3_str_finish(to.columns);
	values = sqlite3_str_finish(to.values);
	where = sqlite3_str_finish(to.where);
	sql = names && values ? sqlite3_mprintf("insert into made.\"%w\" (%s) select %s from main.\"%w\" t where 1%s",
						table, names, values, table, where ? where : "")
			      : NULL;
	sqlite3_free(names);
	sqlite3_free(values);
	sqlite3_free(where);
	return sql;
}

/* Rows, and the greatest id that was given out. */
static int copy_rows(struct ul_db_carry *c, const char *table, int *ret_code)
{
	ul_autonames struct ul_names columns = {0}, paths = {0};
	int64_t lost;
	char count[32];
	int r = list(c,
		     sqlite3_mprintf("select name from pragma_table_xinfo(%Q, 'main') where hidden = 0 order by cid",
				     table),
		     &columns, ret_code);

	if (r == 0 && *ret_code == SQLITE_OK)
		r = list(c,
			 sqlite3_mprintf("select \"from\" from pragma_foreign_key_list(%Q, 'main')"
					 " where lower(\"table\") = 'validpaths'",
					 table),
			 &paths, ret_code);
	if (r < 0 || *ret_code != SQLITE_OK || columns.n == 0)
		return r;
	r = run(c, copying_sql(c, table, &columns, &paths), ret_code);
	if (r < 0 || *ret_code != SQLITE_OK)
		return r;
	/* A count would be one step of SQLite's, however long it takes. */
	lost = number(c, sqlite3_mprintf("select (select ifnull(sum(1), 0) from main.\"%w\" not indexed)"
					 " - (select count(*) from made.\"%w\")",
					 table, table));
	if (lost > 0) {
		snprintf(count, sizeof(count), "%lld rows", (long long)lost);
		leave_out(c, count, "of table", NULL, table);
	}
	return run(c,
		   sqlite3_mprintf("delete from made.sqlite_sequence where name = %Q;"
				   "insert into made.sqlite_sequence select name, seq from main.sqlite_sequence"
				   " where name = %Q and typeof(seq) = 'integer'",
				   table, table),
		   ret_code);
}

static int define_indexes(struct ul_db_carry *c, const char *table, int *ret_code)
{
	static const char *const heads[] = {"CREATE INDEX ", "CREATE UNIQUE INDEX ", NULL};
	ul_autonames struct ul_names indexes = {0};
	int r = list(c,
		     sqlite3_mprintf("select sql from main.sqlite_schema where type = 'index' and tbl_name = %Q"
				     " and sql is not null",
				     table),
		     &indexes, ret_code);

	for (size_t i = 0; r == 0 && *ret_code == SQLITE_OK && i < indexes.n; i++)
		r = define(c, indexes.at[i], heads, ret_code);
	return r;
}

static int carry_table(struct ul_db_carry *c, const char *table)
{
	static const char *const heads[] = {"CREATE TABLE ", NULL};
	const struct thing thing = {"table", table, NULL};
	ul_autonames struct ul_names sql = {0};
	int code, r = begin_thing(c, &code);

	if (r == 0 && code == SQLITE_OK)
		r = list(c,
			 sqlite3_mprintf("select sql from main.sqlite_schema where type = 'table' and name = %Q",
					 table),
			 &sql, &code);
	if (r == 0 && code == SQLITE_OK && sql.n != 1)
		code = SQLITE_AUTH;
	if (r == 0 && code == SQLITE_OK)
		r = define(c, sql.at[0], heads, &code);
	if (r == 0 && code == SQLITE_OK)
		r = copy_rows(c, table, &code);
	if (r == 0 && code == SQLITE_OK)
		r = define_indexes(c, table, &code);
	return end_thing(c, &thing, r, code);
}

static bool is_known(const char *table)
{
	for (size_t i = 0; i < ul_db_n_objects; i++)
		if (ul_db_objects[i].type[0] == 't' && ul_db_objects[i].sql &&
		    !strcasecmp(ul_db_objects[i].name, table))
			return true;
	return !strncasecmp(table, "sqlite_", 7);
}

static int carry_tables(struct ul_db_carry *c)
{
	ul_autonames struct ul_names tables = {0};
	int code, taken = 0;
	int r = list(c,
		     sqlite3_mprintf("select name from main.sqlite_schema where type = 'table' and name is not null"
				     " order by rowid"),
		     &tables, &code);

	if (r == 0 && code != SQLITE_OK)
		leave_out(c, "its further contents", "", NULL, message(c, code));
	for (size_t i = 0; r == 0 && i < tables.n; i++) {
		if (is_known(tables.at[i]))
			continue;
		if (taken++ >= MOST_TABLES)
			leave_out(c, "table", tables.at[i], NULL, "there are too many");
		else
			r = carry_table(c, tables.at[i]);
	}
	return r;
}

/* ---- rows of tables that are known ---- */

/* A row is known by its paths and names; ids have changed. */
#define OLD_ID(column) \
	"(select a.id from main.ValidPaths a join made.ValidPaths b on a.path = b.path where b.id = t." column ")"

static const struct keyed {
	const char *table;
	const char *added; /* the rows that are not the lower's: compared with n_lower; NULL: all are looked at */
	const char *same;  /* row o of the old database is row t of the new one */
} keyed[] = {
	{"ValidPaths", "t.id", "o.path = t.path"},
	{"Refs", "t.referrer", "o.referrer = " OLD_ID("referrer") " and o.reference = " OLD_ID("reference")},
	{"DerivationOutputs", "t.drv", "o.drv = " OLD_ID("drv") " and o.id = t.id"},
	{"Realisations", NULL, "o.drvPath = t.drvPath and o.outputName = t.outputName"},
	{"BuildTraceV3", NULL, "o.drvPath = t.drvPath and o.outputName = t.outputName"},
	{"SchemaMigrations", NULL, "o.migration = t.migration"},
};

/* Words of a declaration, which become SQL: a type, a number, a text without quotes in it. */
static bool is_plain(const char *text)
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '\'' && text[len - 1] == '\'')
		return !memchr(text + 1, '\'', len - 2);
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .+-") == len;
}

/* "add column" with what pragma table_xinfo says of it. NULL: it says what is not plain, or there is no memory. */
static char *adding_sql(struct ul_db_carry *c, const char *table, const char *column)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	char *sql = sqlite3_mprintf("select type, dflt_value, \"notnull\" from pragma_table_xinfo(%Q, 'main')"
				    " where name = %Q",
				    table, column);
	const char *type, *value;
	bool there =
		sql && sqlite3_prepare_v2(c->db, sql, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW;

	sqlite3_free(sql);
	if (!there)
		return NULL;
	type = (const char *)sqlite3_column_text(row, 0);
	value = (const char *)sqlite3_column_text(row, 1);
	if (!type || !is_plain(type) || (value && !is_plain(value)))
		return NULL;
	return sqlite3_mprintf("alter table made.\"%w\" add column \"%w\" %s%s%s%s", table, column, type,
			       value && sqlite3_column_int(row, 2) ? " not null" : "", value ? " default " : "",
			       value ? value : "");
}

static int carry_column(struct ul_db_carry *c, const struct keyed *k, const char *column, uint32_t n_lower)
{
	const struct thing thing = {"column", column, k->table};
	bool there = number(c, sqlite3_mprintf("select count(*) from pragma_table_xinfo(%Q, 'made')"
					       " where lower(name) = lower(%Q)",
					       k->table, column)) > 0;
	int code, r;

	/* Ours has the column of provenance, and hardly anybody has some. */
	if (there && n_lower == 0 &&
	    number(c, sqlite3_mprintf("select exists (select 1 from main.\"%w\" where \"%w\" is not null)", k->table,
				      column)) == 0)
		return 0;
	r = begin_thing(c, &code);
	if (r == 0 && code == SQLITE_OK && !there) {
		char *sql = adding_sql(c, k->table, column);

		code = SQLITE_AUTH;
		if (sql)
			r = run(c, sql, &code);
	}
	if (r == 0 && code == SQLITE_OK)
		r = run(c,
			sqlite3_mprintf("update made.\"%w\" as t set \"%w\" ="
					" (select o.\"%w\" from main.\"%w\" o where %s limit 1)"
					" where %s > %u and exists (select 1 from main.\"%w\" o where %s"
					" and o.\"%w\" is not null)",
					k->table, column, column, k->table, k->same, k->added ? k->added : "1",
					k->added ? n_lower : 0, k->table, k->same, column),
			&code);
	return end_thing(c, &thing, r, code);
}

static int carry_columns(struct ul_db_carry *c, const struct keyed *k, uint32_t n_lower)
{
	ul_autonames struct ul_names columns = {0};
	int code;
	/* The manifest has no provenance. */
	int r = list(c,
		     sqlite3_mprintf("select name from pragma_table_xinfo(%Q, 'main') where hidden = 0"
				     " and (name = 'provenance' or lower(name) not in"
				     " (select lower(name) from pragma_table_xinfo(%Q, 'made')))",
				     k->table, k->table),
		     &columns, &code);

	for (size_t i = 0; r == 0 && i < columns.n; i++)
		r = carry_column(c, k, columns.at[i], n_lower);
	return r;
}

/* Rows of the old table that the new one does not have, of texts as Nix writes them. */
static int carry_rows(struct ul_db_carry *c, const char *table, const char *columns, const char *values,
		      const char *missing)
{
	const struct thing thing = {"rows", "", table};
	int code, r;

	if (!ul_sqlite_has_table(c->db, table) ||
	    number(c, sqlite3_mprintf("select exists (select 1 from main.%s o where %s)", table, missing)) == 0)
		return 0;
	r = begin_thing(c, &code);
	if (r == 0 && code == SQLITE_OK)
		r = run(c,
			sqlite3_mprintf("insert into made.%s (%s) select %s from main.%s o where %s", table, columns,
					values, table, missing),
			&code);
	return end_thing(c, &thing, r, code);
}

/* What realisations of the older form need of each other. A merge has them already. */
static int carry_edges(struct ul_db_carry *c)
{
	static const char edges[] =
		"select distinct a.id, z.id from main.RealisationsRefs x join main.Realisations oa on oa.id = x.referrer"
		" join main.Realisations oz on oz.id = x.realisationReference"
		" join made.Realisations a on a.drvPath = oa.drvPath and a.outputName = oa.outputName"
		" join made.Realisations z on z.drvPath = oz.drvPath and z.outputName = oz.outputName"
		" where not exists (select 1 from made.RealisationsRefs r"
		" where r.referrer = a.id and r.realisationReference = z.id)";
	const struct thing thing = {"rows", "", "RealisationsRefs"};
	int code, r;

	if (number(c, sqlite3_mprintf("select exists (%s)", edges)) == 0)
		return 0;
	r = begin_thing(c, &code);
	if (r == 0 && code == SQLITE_OK)
		r = run(c,
			sqlite3_mprintf("insert into made.RealisationsRefs (referrer, realisationReference) %s", edges),
			&code);
	return end_thing(c, &thing, r, code);
}

static int carry_known(struct ul_db_carry *c, uint32_t n_lower)
{
	int r = carry_rows(
		c, "SchemaMigrations", "migration", "migration",
		"typeof(migration) = 'text' and migration not in (select migration from made.SchemaMigrations)");

	if (r == 0)
		r = carry_rows(
			c, "BuildTraceV3", "drvPath, outputName, outputPath, signatures",
			"drvPath, outputName, outputPath, coalesce(signatures, '')",
			"typeof(drvPath) = 'text' and typeof(outputName) = 'text' and typeof(outputPath) = 'text'"
			" and typeof(signatures) in ('text', 'null') and not exists (select 1 from"
			" made.BuildTraceV3 t where t.drvPath = o.drvPath and t.outputName = o.outputName)");
	if (r == 0 && n_lower == 0)
		r = carry_edges(c);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(keyed); i++)
		r = carry_columns(c, &keyed[i], n_lower);
	return r;
}

/* ---- the whole ---- */

int ul_db_carry_open(const struct ul_db_options *options, struct ul_db_carry **ret, struct ul_error *err)
{
	const char *from = options->carry_from ? options->carry_from : options->merge_from;
	ul_autofree char *uri = from ? ul_sqlite_uri(from, UL_SQLITE_IMMUTABLE) : NULL;
	struct ul_db_carry *c;
	struct stat st;
	int code;

	*ret = NULL;
	if (!from || stat(from, &st) < 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c || !uri) {
		free(c);
		return ul_error_nomem(err, what);
	}
	c->options = options;
	c->steps = STEPS_AT_LEAST + (uint64_t)st.st_size / 100;
	/*
	 * Opened for writing because the new database, which is attached to it, is written. A file that only allows
	 * reading is read.
	 */
	code = ul_sqlite_open(uri, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, &c->db);
	if (code == SQLITE_OK)
		code = sqlite3_exec(c->db, "select 1 from sqlite_schema", NULL, NULL, NULL);
	if (code == SQLITE_OK) {
		*ret = c;
		return 0;
	}
	leave_out(c, "its further contents", "", NULL, ul_sqlite_message(c->db));
	ul_db_carry_close(c);
	return 0;
}

int ul_db_carry_write(struct ul_db_carry *c, int dirfd, const char *name, uint32_t n_lower, struct ul_error *err)
{
	int code, r;

	if (!c)
		return 0;
	c->err = err;
	r = run(c,
		sqlite3_mprintf("attach 'file:/proc/self/fd/%d/%s?mode=rw' as made; pragma temp_store = memory;"
				"pragma made.journal_mode = memory; pragma made.synchronous = off;"
				"pragma foreign_keys = off; pragma ignore_check_constraints = on",
				dirfd, name),
		&code);
	if (r == 0 && code == SQLITE_CANTOPEN)
		r = ul_sqlite_error(err, c->db, what, name);
	else if (r == 0 && code != SQLITE_OK)
		leave_out(c, "its further contents", "", NULL, message(c, code));
	if (r < 0 || code != SQLITE_OK)
		return r;
	sqlite3_progress_handler(c->db, STEP, count_steps, c);
	r = carry_tables(c);
	if (r == 0)
		r = carry_known(c, n_lower);
	sqlite3_progress_handler(c->db, 0, NULL, NULL);
	return r;
}

void ul_db_carry_close(struct ul_db_carry *c)
{
	if (!c)
		return;
	sqlite3_close(c->db);
	free(c);
}
