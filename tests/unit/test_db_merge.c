/*
 * Merging the rows of another database: the two worlds together hold what a manifest of both would, what
 * cannot stand is dropped with its referrers, and a hostile database is refused or ignored.
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
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/db_help.h"

static const char *database(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(name));
	return path;
}

/* The manifest of a part of the store that is closed under references: of every paths' closures. */
static struct ul_manifest *part_of(const struct random_store *s, size_t every, struct ul_buffer *bytes)
{
	struct ul_builder *b = ul_builder_new(s->store_dir);
	const char **roots = calloc(s->n + 1, sizeof(*roots));
	struct ul_manifest *m = NULL;
	struct ul_error err = {0};
	size_t n = 0;

	assert_true(b && roots);
	for (size_t i = 0; i < s->n; i += every)
		roots[n++] = s->paths[i].path;
	ul_buffer_free(bytes);
	assert_int_equal(ul_builder_restrict(b, roots, n, &err), 0);
	assert_int_equal(random_store_fill(s, b, &err), 0);
	assert_int_equal(ul_builder_finish(b, bytes, &err), 0);
	assert_int_equal(ul_manifest_open_memory(bytes->data, bytes->len, &m, &err), 0);
	ul_builder_free(b);
	free(roots);
	return m;
}

static void assert_equal(struct ul_manifest *m, const char *name)
{
	struct ul_error err = {0};
	char sentence[1200];

	if (ul_db_compare(m, database(name), &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
}

struct dropped {
	size_t n;
	char last[300];
};

static void on_dropped(void *user, const char *path, enum ul_db_drop why)
{
	struct dropped *d = user;

	(void)why;
	d->n++;
	snprintf(d->last, sizeof(d->last), "%s", path);
}

/* A lower that is a part of a store, and the whole store's database as the upper's: the whole again. */
static void both_worlds(void **state)
{
	static const struct {
		size_t n, every;
	} rows[] = {{0, 1}, {1, 1}, {40, 50}, {300, 9}, {3000, 40}, {9000, 900}, {9000, 3}};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer all_bytes = {0}, part_bytes = {0};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		struct random_store_options o = random_store_real;
		struct ul_manifest *all, *part;
		struct random_store *s;
		struct dropped dropped = {.n = 0};
		struct ul_db_options merge = {.dropped = on_dropped, .user = &dropped};

		o.drv_share = 25;
		o.odd_share = 20;
		/* Restricting keeps realisations of what is left, but not their references. */
		s = random_store_new(100 + i, rows[i].n, &o);
		assert_non_null(s);
		all = db_help_manifest(s, &all_bytes);
		part = part_of(s, rows[i].every, &part_bytes);
		db_help_build(all, "upper", NULL);
		merge.merge_from = database("upper");
		db_help_build(part, "merged", &merge);
		db_help_assert_sound("merged");
		assert_equal(all, "merged");
		assert_int_equal(dropped.n, 0);
		merge.use_sqlite = true;
		db_help_build(part, "oracle", &merge);
		db_help_assert_same("oracle", "merged");
		merge.use_sqlite = false;
		merge.low_memory = true;
		db_help_build(part, "low", &merge);
		db_help_assert_identical("merged", "low");
		ul_manifest_close(all);
		ul_manifest_close(part);
		random_store_free(s);
	}
}

/* Nothing of the lower: the added paths alone; and all of it: nothing is added. */
static void one_world(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0}, none_bytes = {0};
	struct random_store_options o = random_store_real;
	struct ul_db_options merge = {.threads = 2};
	struct ul_manifest *m, *none;
	struct random_store *s;

	(void)state;
	o.realisations = 200;
	s = random_store_new(77, 6000, &o);
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	none = db_help_manifest_of(NULL, 0, &none_bytes);
	db_help_build(m, "upper", NULL);
	merge.merge_from = database("upper");
	db_help_build(none, "merged", &merge);
	db_help_assert_sound("merged");
	assert_equal(m, "merged");
	db_help_build(m, "same", &merge);
	db_help_assert_identical("same", "upper");
	ul_manifest_close(m);
	ul_manifest_close(none);
	random_store_free(s);
}

/* The very file that is replaced, with rows that are still in its log. */
static void onto_itself(void **state)
{
	static const bool ways[] = {false, true};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = random_store_new(5, 500, &random_store_real);
	struct ul_manifest *m;

	(void)state;
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++) {
		struct ul_db_options merge = {.durable = ways[i]};
		sqlite3 *db;

		db_help_build(m, "itself", NULL);
		db = db_help_open("itself");
		db_help_exec(db, "pragma journal_mode = wal;"
				 "insert into ValidPaths (path, hash, registrationTime, narSize) select"
				 " '/nix/store/00000000000000000000000000000007-own',"
				 " hash, 9, 120 from ValidPaths where id = 1;"
				 "insert into Refs select max(id), 5 from ValidPaths;"
				 "insert into DerivationOutputs select max(id), 'out', '/nix/store/x' from"
				 " ValidPaths;");
		/* As after a cut: a log and no writer. */
		assert_int_equal(rename(database("itself"),
					strcat(strcpy((char[320]){0}, db_help_subdir("cut")), "/db.sqlite")),
				 0);
		{
			char from[320], to[320];

			snprintf(from, sizeof(from), "%s/db.sqlite-wal", db_help_subdir("itself"));
			snprintf(to, sizeof(to), "%s/db.sqlite-wal", db_help_subdir("cut"));
			assert_int_equal(rename(from, to), 0);
		}
		merge.merge_from = database("cut");
		db_help_build(m, "cut", &merge);
		sqlite3_close(db);
		db_help_assert_sound("cut");
		db = db_help_open("cut");
		assert_string_equal(db_help_text(db, "select count(*) from ValidPaths"), "501");
		assert_string_equal(db_help_text(db, "select reference from Refs where referrer ="
						     " 501"),
				    "5");
		assert_string_equal(db_help_text(db, "select narSize from ValidPaths where path ="
						     " '/nix/store/"
						     "00000000000000000000000000000007-own'"),
				    "120");
		assert_string_equal(db_help_text(db, "select path from DerivationOutputs where drv"
						     " = 501"),
				    "/nix/store/x");
		sqlite3_close(db);
	}
	ul_manifest_close(m);
	random_store_free(s);
}

/* ---- rows that cannot stand ---- */

#define OWN(n) "/nix/store/0000000000000000000000000000000" #n "-own"
#define ADD(n)                                                             \
	"insert into ValidPaths (id, path, hash, registrationTime) values" \
	" (1000" #n ", '" OWN(n) "', 'sha256:' || hex(zeroblob(32)), 1);"
#define REF(a, b) "insert into Refs values (1000" #a ", 1000" #b ");"

static bool is_not_2(void *user, const char *path)
{
	(void)user;
	return strcmp(path, OWN(2)) != 0;
}

static void dropped_rows(void **state)
{
	static const struct {
		const char *sql;
		bool ask;
		size_t dropped, kept; /* of the added */
	} rows[] = {
		{ADD(1) ADD(2) ADD(3) REF(1, 2) REF(2, 3), false, 0, 3},
		/* 1 refers to 2, which refers to nothing that is there; 3 does not care. */
		{ADD(1) ADD(2) ADD(3) REF(1, 2) "insert into Refs values (10002, 4711);", false, 2, 1},
		/* A cycle that leans on a missing path. */
		{ADD(1) ADD(2) ADD(3) REF(1, 2) REF(2, 3) REF(3, 1) REF(3, 4), false, 3, 0},
		{ADD(1) ADD(2) ADD(3) REF(1, 2) REF(3, 3), true, 2, 1},
		{ADD(1) "update ValidPaths set hash = 'md5:0' where id = 10001", false, 1, 0},
		{ADD(1) "update ValidPaths set hash = x'00' where id = 10001", false, 1, 0},
		{ADD(1) "update ValidPaths set path = '/nix/store/short' where id = 10001", false, 1, 0},
		{ADD(1) "update ValidPaths set path = '" OWN(1) "/../x' where id = 10001", false, 1, 0},
		{ADD(1) "update ValidPaths set path = '/gnu' || path where id = 10001", false, 1, 0},
		{ADD(1) ADD(2) REF(2, 1) "update ValidPaths set path = 'x' where id = 10001", false, 2, 0},
	};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = random_store_new(6, 100, &random_store_real);
	struct ul_manifest *m;

	(void)state;
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		struct dropped dropped = {.n = 0};
		struct ul_db_options merge = {
			.dropped = on_dropped, .user = &dropped, .exists = rows[i].ask ? is_not_2 : NULL};
		char count[32];
		sqlite3 *db;

		db_help_build(m, "upper", NULL);
		db = db_help_open("upper");
		db_help_exec(db, rows[i].sql);
		sqlite3_close(db);
		merge.merge_from = database("upper");
		db_help_build(m, "merged", &merge);
		db_help_assert_sound("merged");
		db = db_help_open("merged");
		snprintf(count, sizeof(count), "%zu", 100 + rows[i].kept);
		if (dropped.n != rows[i].dropped ||
		    strcmp(db_help_text(db, "select count(*) from ValidPaths"), count) != 0)
			fail_msg("%s: %zu dropped, %s there", rows[i].sql, dropped.n,
				 db_help_text(db, "select count(*) from ValidPaths"));
		sqlite3_close(db);
	}
	ul_manifest_close(m);
	random_store_free(s);
}

/* What the other database says of a sealed path does not count. */
static void sealed_rows_stay(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = random_store_new(6, 100, &random_store_real);
	struct ul_db_options merge = {.threads = 1};
	struct ul_manifest *m;
	sqlite3 *db;

	(void)state;
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	db_help_build(m, "upper", NULL);
	db = db_help_open("upper");
	db_help_exec(db, "update ValidPaths set hash = 'sha256:evil', narSize = 1, sigs = 'me:me',"
			 " ca = 'x'; delete from Refs where rowid % 2;"
			 "insert or ignore into Refs select id, 1 from ValidPaths;"
			 "insert into DerivationOutputs values (3, 'out', '/nix/store/evil')");
	sqlite3_close(db);
	merge.merge_from = database("upper");
	db_help_build(m, "merged", &merge);
	assert_equal(m, "merged");
	ul_manifest_close(m);
	random_store_free(s);
}

/* Another first digit in one path, wherever the file has it: the index is out of order then. */
static void disorder(const char *path)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer file = {0};
	char text[300];
	sqlite3 *db = db_help_open("upper");
	size_t found = 0, len;

	snprintf(text, sizeof(text), "%s", db_help_text(db, "select path from ValidPaths where id = 50"));
	sqlite3_close(db);
	len = strlen(text);
	assert_int_equal(ul_read_file(AT_FDCWD, path, 1 << 24, &file), 0);
	for (size_t i = 0; i + len <= file.len; i++)
		if (!memcmp(file.data + i, text, len)) {
			file.data[i + strlen("/nix/store/")] = 'z';
			found++;
		}
	assert_int_equal(found, 2);
	assert_int_equal(ul_write_file(AT_FDCWD, path, 0644, file.data, file.len), 0);
}

/* Files that are no such database: one sentence, and nothing is left behind. */
static void refused(void **state)
{
	static const char *const sql[] = {
		"drop table Refs",
		"alter table ValidPaths rename to Other",
		/* A view runs code: it is not looked into. */
		"alter table ValidPaths rename to Real; create view ValidPaths as select * from Real",
	};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = random_store_new(6, 100, &random_store_real);
	struct ul_db_options merge = {.threads = 1};
	struct ul_manifest *m;
	struct ul_error err;

	(void)state;
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	for (size_t i = 0; i < UL_ARRAY_SIZE(sql) + 2; i++) {
		const char *upper = database("upper");
		struct stat st;

		db_help_build(m, "upper", NULL);
		if (i < UL_ARRAY_SIZE(sql)) {
			sqlite3 *db = db_help_open("upper");

			db_help_exec(db, sql[i]);
			sqlite3_close(db);
		} else if (i == UL_ARRAY_SIZE(sql)) {
			assert_int_equal(truncate(upper, 5000), 0);
		} else {
			/* It would slip sealed paths past the join. */
			disorder(upper);
		}
		merge.merge_from = upper;
		if (ul_db_build(m, AT_FDCWD, db_help_subdir("refused"), &merge, &err) != -UL_E_DATABASE)
			fail_msg("case %zu was not refused", i);
		assert_true(err.why[0]);
		assert_int_not_equal(stat(database("refused"), &st), 0);
	}
	merge.merge_from = "/nowhere/db.sqlite";
	assert_int_equal(ul_db_build(m, AT_FDCWD, db_help_subdir("refused"), &merge, &err), -UL_E_DATABASE);
	ul_manifest_close(m);
	random_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_worlds),  cmocka_unit_test(one_world),        cmocka_unit_test(onto_itself),
		cmocka_unit_test(dropped_rows), cmocka_unit_test(sealed_rows_stay), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
