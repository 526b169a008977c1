/*
 * Every schema of every released Nix (tests/samples/schemas) through import and reconcile in both modes, where the
 * database may stay and where it is written anew; and the statements that each Nix prepares, over the database
 * that is in an image. Prints the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/exchange/import.h"
#include "tests/unit/upper_help.h"

#define SCHEMAS "tests/samples/schemas/"
#define U       UPPER_NAME

/* ---- the lists ---- */

#define FIELDS 6

/* Call each(user, fields) for the lines of a list; returns how many there are. */
static unsigned int each_line(const char *file, void (*each)(void *user, char **fields), void *user)
{
	ul_autobuffer struct ul_buffer text = {0};
	char path[200], *lines, *line, *rest;
	unsigned int n = 0;

	snprintf(path, sizeof(path), SCHEMAS "%s", file);
	assert_int_equal(ul_read_file(AT_FDCWD, path, 1 << 20, &text), 0);
	lines = ul_buffer_string(&text);
	assert_non_null(lines);
	for (line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
		char *fields[FIELDS + 1] = {NULL}, *at = line;

		for (size_t i = 0; i < FIELDS && at; i++)
			fields[i] = strsep(&at, "\t");
		each(user, fields);
	}
	return n;
}

static const char *read_piece(const char *piece, struct ul_buffer *text)
{
	char path[200];

	snprintf(path, sizeof(path), SCHEMAS "%s%s", piece, strstr(piece, ".sql") ? "" : ".sql");
	assert_int_equal(ul_read_file(AT_FDCWD, path, 1 << 20, text), 0);
	return ul_buffer_string(text);
}

static void run_piece(sqlite3 *db, const char *piece)
{
	ul_autobuffer struct ul_buffer text = {0};

	db_help_exec(db, read_piece(piece, &text));
}

static bool has_column(sqlite3 *db, const char *table, const char *column)
{
	return sqlite3_table_column_metadata(db, NULL, table, column, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

static bool has_table(sqlite3 *db, const char *name)
{
	return has_column(db, name, NULL);
}

/* ---- a database as this Nix leaves it ---- */

static void add_traces(sqlite3 *db)
{
	char sql[600];

	if (has_table(db, "Realisations")) {
		snprintf(sql, sizeof(sql),
			 "insert into Realisations select null, 'sha256:' || v.n, 'out', p.id, v.s from ValidPaths p,"
			 " (select 'aa' n, '' s union select 'bb', 'key-1:c2ln') v where p.path = '%s'",
			 upper_full(22));
		db_help_exec(db, sql);
		db_help_exec(db, "insert into RealisationsRefs select max(id), min(id) from Realisations");
	}
	if (has_table(db, "BuildTraceV3")) {
		snprintf(
			sql, sizeof(sql),
			"insert into BuildTraceV3 values"
			" (9, '22222222222222222222222222222222-x.drv', 'out', '%s', ''),"
			" (10, '22222222222222222222222222222222-y.drv', 'out', '/nix/store/never-built', 'key-1:c2ln')",
			upper_full(23));
		db_help_exec(db, sql);
	}
	if (has_table(db, "BuildTraceV9")) {
		db_help_exec(db, "insert into BuildTraceV9 select id + 100, 'drv' || id, id, 'n' || id from ValidPaths;"
				 "update ValidPaths set tier = length(path) where path like '%p2_';"
				 "update Refs set kind = (select path from ValidPaths where id = reference)");
	}
	if (has_column(db, "ValidPaths", "provenance")) {
		snprintf(sql, sizeof(sql), "update ValidPaths set provenance = '{\"x\":1}' where path = '%s'",
			 upper_full(21));
		db_help_exec(db, sql);
	}
}

/* The upper's database, made anew with the pieces' schema and the rows that it had. */
static void make_database(char **release)
{
	char pieces[300], old[300], new[300], sql[1200], *piece, *rest;
	sqlite3 *db = NULL;

	snprintf(old, sizeof(old), "%s/db.sqlite", db_help_subdir(upper_db(U)));
	snprintf(new, sizeof(new), "%s/new", db_help_subdir(upper_db(U)));
	assert_int_equal(sqlite3_open(new, &db), SQLITE_OK);
	snprintf(pieces, sizeof(pieces), "%s", release[2]);
	for (piece = strtok_r(pieces, " ", &rest); piece; piece = strtok_r(NULL, " ", &rest))
		run_piece(db, piece);
	snprintf(sql, sizeof(sql),
		 "attach '%s' as old;"
		 "insert into main.ValidPaths (id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)"
		 " select id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca from old.ValidPaths;"
		 "insert into main.Refs (referrer, reference) select referrer, reference from old.Refs; detach old",
		 old);
	db_help_exec(db, sql);
	add_traces(db);
	sqlite3_close(db);
	assert_int_equal(rename(new, old), 0);
	if (strcmp(release[3], "-") != 0)
		snprintf(sql, sizeof(sql), "printf %s >var/nix/db/ca-schema", release[3]);
	else
		snprintf(sql, sizeof(sql), "rm -f var/nix/db/ca-schema");
	upper_run(U, sql);
}

/* ---- what is done with it ---- */

/* All that Nix wrote besides paths and references, as text: what must be the same after a rewrite. */
static char *describe(void)
{
	static const struct {
		const char *table, *column, *sql;
	} parts[] = {
		{"Realisations", "id",
		 "select group_concat(drvPath || outputName || p.path || signatures || typeof(signatures))"
		 " from (select * from Realisations order by drvPath) join ValidPaths p on p.id = outputPath"},
		{"RealisationsRefs", "referrer",
		 "select group_concat(a.drvPath || b.drvPath) from RealisationsRefs r"
		 " join Realisations a on a.id = r.referrer join Realisations b on b.id = r.realisationReference"},
		{"BuildTraceV3", "id",
		 "select group_concat(drvPath || outputName || outputPath || signatures)"
		 " from (select * from BuildTraceV3 order by drvPath)"},
		{"ValidPaths", "provenance",
		 "select group_concat(path || provenance) from ValidPaths where provenance is not null"},
		{"BuildTraceV9", "id",
		 "select group_concat(t.id || t.note || p.path) from (select * from BuildTraceV9"
		 " indexed by IndexBuildTraceV9 order by drvPath) t join ValidPaths p on p.id = outputPath"
		 " where p.path like '%p2_'"},
		{"ValidPaths", "tier",
		 "select group_concat(path || tier) from (select * from ValidPaths where path like '%p2_' order by path)"},
		{"Refs", "kind",
		 "select group_concat(kind) from (select * from Refs r join ValidPaths p on p.id = referrer"
		 " where p.path like '%p2_' order by p.path, kind)"},
	};
	sqlite3 *db = db_help_open(upper_db(U));
	char *text = calloc(1, 16000);
	size_t len = 0;

	assert_non_null(text);
	for (size_t i = 0; i < UL_ARRAY_SIZE(parts); i++) {
		const char *part =
			has_column(db, parts[i].table, parts[i].column) ? db_help_text(db, parts[i].sql) : "";

		if (*part)
			len += (size_t)snprintf(text + len, 4000, "%s.%s: %.1900s\n", parts[i].table, parts[i].column,
						part);
	}
	sqlite3_close(db);
	return text;
}

static void check_import(char **release, bool has_old, bool has_new)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer bytes = {0};
	const struct ul_realisation *list;
	struct ul_manifest *m = NULL;
	struct ul_error err = {0};
	char path[300], sentence[1200];
	uint32_t n = 0;

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(upper_db(U)));
	if (ul_import_database(b, path, &err) < 0 || ul_builder_finish(b, &bytes, &err) < 0 ||
	    ul_manifest_open_memory(bytes.data, bytes.len, &m, &err) < 0)
		fail_msg("%s: %s", release[0], ul_error_sentence(&err, sentence, sizeof(sentence)));
	assert_int_equal(ul_manifest_realisations(m, &list, &n, &err), 0);
	assert_int_equal(n, (has_old ? 2 : 0) + (has_new ? 1 : 0));
	assert_int_equal(ul_manifest_n_paths(m), atoi(upper_count("1")));
	/* And back: NULL is NULL and "" is "". */
	db_help_build(m, "back", NULL);
	db_help_assert_sound("back");
	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir("back"));
	if (ul_db_compare(m, path, &err) < 0)
		fail_msg("%s: %s", release[0], ul_error_sentence(&err, sentence, sizeof(sentence)));
	ul_manifest_close(m);
	ul_builder_free(b);
}

static void check_kept(struct upper_fixture *f, char **release, enum ul_reconcile_mode mode)
{
	upper_shut_down(U);
	for (unsigned int boot = 0; boot < 2; boot++) {
		upper_agree(f, f->lower, mode);
		if (!f->report.database_kept)
			fail_msg("%s: %s", release[0], f->report.database_reason);
		assert_int_equal(f->report.n[UL_RECONCILE_NOTE], 0);
		assert_string_equal(f->report.database_reason, "");
		upper_shut_down(U);
	}
}

/* Written anew, and nothing of what Nix wrote is lost. */
static void check_rewritten(struct upper_fixture *f, char **release, enum ul_reconcile_mode mode)
{
	ul_autofree char *before = NULL, *after = NULL, *names = NULL;
	bool named;

	/* Sealed rows that the lower does not bear out, and a shutdown that was not clean. */
	upper_exec("update ValidPaths set hash = hash || 'x' where path like '%p3' or path like '%p4'");
	upper_run(U, "rm clean");
	before = describe();
	named = atoi(upper_query("select count(*) from sqlite_schema where name = 'SchemaMigrations'"));
	names = strdup(named ? upper_query("select group_concat(migration) from SchemaMigrations"
					   " where migration >= '2029'")
			     : "");
	upper_agree(f, f->lower, mode);
	assert_false(f->report.database_kept);
	assert_true(f->report.database_reason[0]);
	assert_int_equal(f->report.n[UL_RECONCILE_INVALIDATED], 0);
	assert_int_equal(f->report.n[UL_RECONCILE_NOTE], 0);
	after = describe();
	if (strcmp(before, after) != 0)
		fail_msg("%s: before:\n%safter:\n%s", release[0], before, after);
	assert_string_equal(
		upper_query("select group_concat(migration) from SchemaMigrations where migration >= '2029'"), names);
	assert_string_equal(upper_query("select count(*) from SchemaMigrations where migration < '2029'"), "4");
	assert_string_equal(upper_query("select count(*) from sqlite_schema where name = 'IndexReferrer'"), "0");
	assert_false(upper_holds(U, "test -e var/nix/db/ca-schema"));
	db_help_assert_sound(upper_db(U));
	/* And what was written is kept. */
	check_kept(f, release, mode);
}

static void one_release(void *user, char **release)
{
	struct upper_fixture *f = user;
	bool has_old = strstr(release[2], "ca-2.4") || strstr(release[2], "ca-2.9") || strstr(release[2], "ca-1");
	bool has_new = strstr(release[2], "ca-2.35");

	assert_true(release[5] != NULL);
	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)mode);
		make_database(release);
		check_import(release, has_old, has_new);
		check_kept(f, release, (enum ul_reconcile_mode)mode);
		check_rewritten(f, release, (enum ul_reconcile_mode)mode);
	}
	print_message("%-30s imported, kept and written anew in attach and rebuild; %s\n", release[0], release[1]);
}

static void every_release(void **state)
{
	assert_true(each_line("releases.tsv", one_release, *state) >= 20);
}

/* ---- the database that is in an image ---- */

struct image {
	sqlite3 *db;
	char name[80];
	bool indexed; /* IndexReferrer is there */
};

static void open_image(struct image *i)
{
	ul_autofree char *uri = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(i->name));
	uri = ul_sqlite_uri(path, UL_SQLITE_IMMUTABLE);
	assert_int_equal(sqlite3_open_v2(uri, &i->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), SQLITE_OK);
}

/* A piece's statements, one by one: of what is there already each is an error, and nothing comes of it. */
static void run_again(sqlite3 *db, const char *piece)
{
	ul_autobuffer struct ul_buffer text = {0}, statement = {0};
	unsigned int n = 0;

	for (const char *at = read_piece(piece, &text); *at; at++) {
		assert_int_equal(ul_buffer_append(&statement, at, 1), 0);
		/* Where it failed SQLite does not say where the statement ends. */
		if (*at != ';' || !sqlite3_complete(ul_buffer_string(&statement)))
			continue;
		(void)sqlite3_exec(db, ul_buffer_string(&statement), NULL, NULL, NULL);
		statement.len = 0;
		n++;
	}
	assert_true(n > 0);
}

static const char schema_text[] = "select count(*) || ' ' || sum(length(sql)) || ' ' || group_concat(name)"
				  " from (select * from sqlite_schema order by name)";

/* Named as done, and really done: done again, it has nothing to do. */
static void one_migration(void *user, char **fields)
{
	struct image *i = user;
	sqlite3_stmt *q = NULL;
	sqlite3 *copy;
	char *before;

	assert_int_equal(sqlite3_prepare_v2(i->db, "select count(*) from SchemaMigrations where migration = ?", -1, &q,
					    NULL),
			 SQLITE_OK);
	sqlite3_bind_text(q, 1, fields[0], -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	if (sqlite3_column_int(q, 0) != 1)
		fail_msg("%s is not named", fields[0]);
	sqlite3_finalize(q);
	copy = db_help_open(i->name);
	before = strdup(db_help_text(copy, schema_text));
	db_help_exec(copy, "begin");
	run_again(copy, fields[1]);
	assert_string_equal(db_help_text(copy, schema_text), before);
	db_help_exec(copy, "rollback");
	sqlite3_close(copy);
	free(before);
}

/*
 * It can be prepared, and finds its rows by an index as it does where IndexReferrer is there. (Asked for the one table
 * that all of it is wanted of, it walks through it.)
 */
static void one_statement(void *user, char **fields)
{
	struct image *i = user;
	char sql[700];
	sqlite3_stmt *q = NULL;

	snprintf(sql, sizeof(sql), "explain query plan %s", fields[2]);
	if (sqlite3_prepare_v2(i->db, sql, -1, &q, NULL) != SQLITE_OK)
		fail_msg("%s: %s", fields[2], sqlite3_errmsg(i->db));
	while (sqlite3_step(q) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(q, 3);

		if (strncmp(step, "SCAN", 4) == 0 && strstr(fields[2], " where "))
			fail_msg("%s: %s", fields[2], step);
		assert_false(!i->indexed && strstr(step, "IndexReferrer"));
	}
	sqlite3_finalize(q);
}

static void in_an_image(void **state)
{
	struct upper_fixture *f = *state;
	struct image image = {.name = "image"};
	sqlite3 *db;

	db_help_build(f->lower, "image", NULL);
	open_image(&image);
	assert_int_equal(each_line("migrations.tsv", one_migration, &image), ul_db_n_migrations);
	assert_true(each_line("statements.tsv", one_statement, &image) > 20);
	sqlite3_close(image.db);
	/* With the index the plans are no better: this holds as well. */
	db = db_help_open("image");
	db_help_exec(db, "create index IndexReferrer on Refs(referrer)");
	image.db = db;
	image.indexed = true;
	(void)each_line("statements.tsv", one_statement, &image);
	sqlite3_close(db);
}

/* With foreign keys on: a path that refers to itself goes with its references, without a walk through a table. */
static void deletion(void **state)
{
	struct upper_fixture *f = *state;
	char sql[200];
	sqlite3 *db;

	db_help_build(f->lower, "deleted", NULL);
	db = db_help_open("deleted");
	db_help_exec(db, "pragma foreign_keys = on; insert into Refs select id, id from ValidPaths");
	snprintf(sql, sizeof(sql), "delete from ValidPaths where path = '%s'", upper_full(5));
	db_help_exec(db, sql);
	assert_int_not_equal(sqlite3_exec(db, "delete from ValidPaths where path like '%p3'", NULL, NULL, NULL),
			     SQLITE_OK);
	assert_string_equal(db_help_text(db, "pragma foreign_key_check"), "");
	sqlite3_close(db);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, upper_setup, upper_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(every_release), TEST(in_an_image), TEST(deletion)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
