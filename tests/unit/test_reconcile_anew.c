/*
 * Why the upper's database is written anew: said once, in both modes, in the report; and what a hostile database would
 * have taken along (dbgen/database/merge/carry.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "tests/unit/upper_help.h"

#define U UPPER_NAME

/* All that it notes of the database, a line each. */
static const char *note_of(const struct ul_reconcile_report *r)
{
	static char text[4000];
	size_t n, len = 0;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		if (items[i].action == UL_RECONCILE_NOTE && !strcmp(items[i].name, "db.sqlite") && len < 3000)
			len += (size_t)snprintf(text + len, 900, "%s\n", items[i].why);
	return text;
}

static void assert_told(const struct upper_fixture *f, const char *command, const char *reason)
{
	ul_autojson struct json_object *json = ul_reconcile_report_json(&f->report, NULL, NULL, 10);
	struct json_object *member = NULL;

	if (!strstr(f->report.database_reason, reason))
		fail_msg("%s: the reason is \"%s\"", command, f->report.database_reason);
	if (!strstr(note_of(&f->report), reason))
		fail_msg("%s: the note is \"%s\"", command, note_of(&f->report));
	assert_true(json_object_object_get_ex(json, "databaseReason", &member));
	assert_string_equal(json_object_get_string(member), f->report.database_reason);
	assert_true(upper_holds(U, "grep -q databaseReason report.json"));
}

/* Something is wrong with the file: a note with the reason, and the report on the upper. */
static void trouble(void **state)
{
	static const struct {
		const char *command, *reason;
	} cases[] = {
		{"truncate -s 5000 var/nix/db/db.sqlite", "it is damaged"},
		{"truncate -s 0 var/nix/db/db.sqlite", "it is empty"},
		{"rm var/nix/db/db.sqlite", "it is not there any more"},
		{"echo garbage >var/nix/db/db.sqlite", "it is not a database"},
		{"rm var/nix/db/schema", "the file `schema`"},
		{"echo 7 >var/nix/db/schema", "the file `schema`"},
		{"sqlite3 var/nix/db/db.sqlite 'create trigger t after insert on Refs begin delete from Refs; end'",
		 "its trigger t is code that no Nix makes"},
		{"sqlite3 var/nix/db/db.sqlite 'drop table DerivationOutputs'", "it lacks tables of Nix"},
	};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++)
		for (int mode = 0; mode < 2; mode++) {
			upper_make(U);
			upper_fill(f, (enum ul_reconcile_mode)mode);
			upper_run(U, "rm -f report.json");
			upper_run(U, cases[i].command);
			upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
			assert_told(f, cases[i].command, cases[i].reason);
			/* How many registrations there were, from lower.json. */
			assert_non_null(strstr(note_of(&f->report), "4 paths of the upper"));
		}
}

/* The file is well, and is written anew all the same: a reason, and no note. */
static void no_trouble(void **state)
{
	static const struct {
		const char *command, *reason[2]; /* of mode attach, rebuild */
		bool other;
	} cases[] = {
		{"true", {"", "the lower is another one"}, true},
		{"rm clean; touch var/nix/db/db.sqlite", {"", "the last shutdown was not clean"}, false},
		{"rm kept/*-p23; touch var/nix/db/db.sqlite",
		 {"not all of its rows are right for this lower", "rows of it are not those of this lower"},
		 false},
		{"true", {"", ""}, false},
	};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++)
		for (int mode = 0; mode < 2; mode++) {
			const char *reason = cases[i].reason[mode];

			upper_make(U);
			upper_fill(f, (enum ul_reconcile_mode)mode);
			upper_run(U, cases[i].command);
			upper_agree(f, cases[i].other ? f->other : f->lower, (enum ul_reconcile_mode)mode);
			assert_string_equal(note_of(&f->report), "");
			if (cases[i].other && mode == 0)
				continue; /* rows are lost, and so it is written: other tests are about that */
			if (strncmp(f->report.database_reason, reason, strlen(reason)) != 0 ||
			    !*reason != !f->report.database_reason[0])
				fail_msg("%s, mode %d: %s", cases[i].command, mode, f->report.database_reason);
			assert_int_equal(f->report.database_kept, !*reason);
		}
}

/* An upper that never had one. */
static void none(void **state)
{
	struct upper_fixture *f = *state;

	for (int mode = 0; mode < 2; mode++) {
		upper_make(U);
		upper_run(U, "rm -rf var lower.json");
		upper_agree(f, f->lower, (enum ul_reconcile_mode)mode);
		assert_string_equal(note_of(&f->report), "");
		assert_string_equal(f->report.database_reason, mode ? "there was none" : "");
	}
}

/* ---- what would be taken along ---- */

static void rewrite(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	upper_exec("update ValidPaths set hash = hash || 'x' where path like '%p3'");
	upper_run(U, "rm -f clean");
	upper_agree(f, f->lower, mode);
	assert_false(f->report.database_kept);
	db_help_assert_sound(upper_db(U));
}

static void fill_and_run(struct upper_fixture *f, enum ul_reconcile_mode mode, const char *sql)
{
	upper_make(U);
	upper_fill(f, mode);
	upper_exec(sql);
}

/* It is left out, and that is said; the rest is as it should be. */
static void hostile(void **state)
{
	static const char h[] = "table h could not be taken along",
			  column[] = "column h of ValidPaths could not be taken";
	/* NULL: nothing is to be said. */
	static const struct {
		const char *sql, *note[2]; /* attached, rebuilt */
	} cases[] = {
		/* Attached, all of it is looked through, and the check may not run; rebuilt, nobody looks. */
		{"create table h (a check (length(hex(randomblob(1000000))) > 0)); insert into h values (1)",
		 {"it is damaged: the rows that its files bear out are kept", NULL}},
		{"create table h (a text default (hex(randomblob(9))), b as (abs(a)))", {h, h}},
		{"create table h (a); create index i on h(abs(a))", {h, h}},
		{"create table h (a); pragma writable_schema = on; update sqlite_schema set sql ="
		 " 'CREATE TABLE h (a); drop table ValidPaths' where name = 'h'",
		 {NULL, NULL}},
		{"create table h (a); pragma writable_schema = on; update sqlite_schema set sql ="
		 " 'CREATE TABLE h (a) ; ; create trigger x after insert on Refs begin delete from Refs; end' where name = 'h'",
		 {NULL, NULL}},
		{"alter table ValidPaths add column h text default 'it''s'", {column, column}},
	};
	struct upper_fixture *f = *state;
	const char *note;

	for (unsigned int i = 0; i < 2 * UL_ARRAY_SIZE(cases); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;

		fill_and_run(f, mode, cases[i / 2].sql);
		rewrite(f, mode);
		note = cases[i / 2].note[i % 2];
		if (note ? !strstr(note_of(&f->report), note) : *note_of(&f->report) != '\0')
			fail_msg("%s: %s", cases[i / 2].sql, note_of(&f->report));
		assert_string_equal(upper_query("select count(*) from sqlite_schema where type = 'trigger'"), "2");
		assert_string_equal(upper_count("1"), mode == UL_RECONCILE_REBUILD ? "14" : "7");
	}
}

/* Ids of paths are others in the new database: a foreign key leads where it led, and goes with its path. */
static void foreign_key(void **state)
{
	struct upper_fixture *f = *state;

	for (int mode = 0; mode < 2; mode++) {
		fill_and_run(
			f, (enum ul_reconcile_mode)mode,
			"create table \"Odd name\" (n text, \"p q\" integer references ValidPaths(id) on delete cascade);"
			"insert into \"Odd name\" select path, id from ValidPaths where path like '%p2_';"
			"insert into \"Odd name\" values ('none', null);"
			"delete from Refs where referrer in (select id from ValidPaths where path like '%p23');");
		/* Its files are gone, and so is the path. */
		upper_run(U, "rm kept/*-p23");
		rewrite(f, (enum ul_reconcile_mode)mode);
		assert_string_equal(upper_query("select count(*) from \"Odd name\""), "4");
		assert_string_equal(upper_query(
					    "select count(*) from \"Odd name\" o join ValidPaths v on v.id = o.\"p q\""
					    " where v.path = o.n"),
				    "3");
		assert_non_null(strstr(note_of(&f->report), "1 rows of table"));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, upper_setup, upper_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(trouble), TEST(no_trouble), TEST(none), TEST(hostile), TEST(foreign_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
