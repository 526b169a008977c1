/*
 * What a new image is to blame for, and what is damaged: only the first refuses it, in both modes. How the ids of the
 * upper's rows are recorded for that. And that both modes tell of the same rows that take the lower's word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "dbgen/reconcile/id_ranges.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define ID(n)                     "(select id from ValidPaths where path like '%-p" #n "')"
/* Nix, attached, copies a row of the lower's. */
#define COPY_OF_9                                                                              \
	"insert into ValidPaths (id, path, hash, registrationTime) select 5000, '%s', hash, 5" \
	" from ValidPaths where path like '%%-p20'; insert into Refs select id, 5000 from ValidPaths where path like '%%-p21'"

static void add_copy_of_9(void)
{
	char sql[500];

	snprintf(sql, sizeof(sql), COPY_OF_9, upper_full(9));
	upper_exec(sql);
}

/* ---- refused, or not ---- */

/* The other lower lacks 3 to 5; 21 refers to 20, and once 22 and 23 are gone nothing of the upper's to those. */
static const struct {
	const char *title, *sql, *command;
	bool refused;
} cases[] = {
	{"nothing is wrong", "select 1", NULL, false},
	{"a row of the upper's is not a store path's", "update ValidPaths set path = 'x' where id = " ID(20), NULL,
	 false},
	{"its hash is none", "update ValidPaths set hash = 'md5:x' where id = " ID(20), NULL, false},
	{"its row is lost", "delete from Refs where referrer = " ID(20) "; delete from ValidPaths where id = " ID(20),
	 NULL, false},
	{"its files are lost", "select 1", "rm kept/*-p20", false},
	{"its files are spoilt", "select 1",
	 "echo x >kept/*-p20; sed -i 's/\"checkedId\":[0-9 ]*/\"checkedId\":0/' lower.json; rm clean", false},
	{"a reference to nothing", "insert into Refs values (" ID(21) ", 4711)", NULL, false},
	{"a reference to less than nothing", "insert into Refs values (" ID(21) ", 0)", NULL, false},
	{"a reference to what vanishes", "insert into Refs values (" ID(21) ", " ID(5) ")", NULL, true},
	{"one that another has", "insert into Refs values (" ID(20) ", " ID(5) ")", NULL, true},
	{"one in a circle", "insert into Refs values (" ID(20) ", " ID(5) "), (" ID(20) ", " ID(21) ")", NULL, true},
	{"the row of what vanishes is damaged",
	 "insert into Refs values (" ID(21) ", " ID(5) "); update ValidPaths set hash = 'md5:x' where id = " ID(5),
	 NULL, true},
	{"it is lost", "insert into Refs values (" ID(21) ", " ID(5) "); delete from ValidPaths where id = " ID(5),
	 NULL, true},
	{"one to what vanishes and one to nothing",
	 "insert into Refs values (" ID(21) ", " ID(5) "), (" ID(21) ", 4711)", NULL, true},
	{"what refers to it is damaged itself",
	 "insert into Refs values (" ID(20) ", " ID(5) "); update ValidPaths set hash = 'md5:x' where id = " ID(20),
	 NULL, false},
	{"an older Underlay did not record the ids", "insert into Refs values (" ID(21) ", 4711)",
	 "sed -i 's/upperIds/x/' lower.json", true},
	{"the ids are damaged", "insert into Refs values (" ID(21) ", 4711)",
	 "sed -i 's/\"upperIds\":\\[/&0,9,/' lower.json", true},
};

/* What 22 and 23 need, and so the copies that an attached database has, is sealed. They go behind the last run. */
static void prepare(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	upper_make(U);
	upper_fill(f, mode);
	upper_exec("delete from Refs where referrer in (" ID(22) ", " ID(23) ");"
									     "delete from ValidPaths where id in (" ID(
										     22) ", " ID(23) ")");
	ul_reconcile_report_free(&f->report);
}

static void only_what_vanished_refuses(void **state)
{
	const struct ul_reconcile_options o = {.refuse = true};
	struct upper_fixture *f = *state;
	unsigned int wrong = 0;

	for (size_t i = 0; i < 2 * UL_ARRAY_SIZE(cases); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;
		char sentence[1200] = "";
		struct ul_error err = {0};
		int r;

		prepare(f, mode);
		upper_exec(cases[i / 2].sql);
		if (cases[i / 2].command)
			upper_run(U, cases[i / 2].command);
		r = upper_reconcile(U, f->other, mode, &o, &f->report, &err);
		if (r < 0)
			ul_error_sentence(&err, sentence, sizeof(sentence));
		if (r == (cases[i / 2].refused ? -UL_E_RECONCILE : 0) && f->report.lost == 0)
			continue;
		wrong++;
		print_message("%s, mode %d: %s\n", cases[i / 2].title, mode, sentence);
	}
	assert_int_equal(wrong, 0);
}

/* The lower lacks 9, of which Nix copied the row since the last boot; over the next boot it is known by its id. */
static void copies_of_rows(void **state)
{
	const struct ul_reconcile_options o = {.refuse = true};
	struct upper_fixture *f = *state;
	bool member[UPPER_PATHS] = {false};
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_automanifest struct ul_manifest *without_9 = NULL;
	struct ul_error err = {0};

	for (unsigned int i = 0; i < 9; i++)
		member[i] = true;
	without_9 = upper_manifest(f->paths, member, &bytes);
	for (int again = 0; again < 2; again++) {
		upper_make(U);
		upper_fill(f, UL_RECONCILE_ATTACH);
		add_copy_of_9();
		if (again)
			upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(U, without_9, UL_RECONCILE_ATTACH, &o, &f->report, &err),
				 -UL_E_RECONCILE);
		assert_string_equal(err.object, upper_base(21));
	}
	/* The image's mode may be another one: the ids are those of the mode before. */
	upper_make(U);
	upper_fill(f, UL_RECONCILE_ATTACH);
	add_copy_of_9();
	assert_int_equal(upper_reconcile(U, without_9, UL_RECONCILE_REBUILD, &o, &f->report, &err), -UL_E_RECONCILE);
	assert_string_equal(err.object, upper_base(21));
	/* The same image in another mode lacks nothing. */
	upper_make(U);
	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_exec("insert into Refs values (" ID(21) ", 1 + (select max(id) from ValidPaths))");
	assert_int_equal(upper_reconcile(U, f->lower, UL_RECONCILE_REBUILD, &o, &f->report, &err), 0);
	assert_int_equal(reported(f, INVALIDATED, upper_base(21)), 1);
	assert_int_equal(f->report.lost, 0);
}

/*
 * Damage that the merge meets when it has told what goes: what stands is gathered in another way, and everything is
 * told once.
 */
static void told_once(void **state)
{
	struct upper_fixture *f = *state;
	char command[300];
	int page;

	upper_fill(f, UL_RECONCILE_REBUILD);
	page = atoi(upper_query(
		"select min(rootpage) from sqlite_schema where name = 'sqlite_autoindex_DerivationOutputs_1'"));
	assert_true(page > 1);
	snprintf(command, sizeof(command),
		 "dd if=/dev/zero of=var/nix/db/db.sqlite bs=%s seek=%d count=1 conv=notrunc status=none",
		 upper_query("pragma page_size"), page - 1);
	upper_run(U, command);
	upper_agree(f, f->other, UL_RECONCILE_REBUILD);
	assert_true(f->report.database_trouble);
	assert_int_equal(f->report.n[UL_RECONCILE_INVALIDATED], 5);
	assert_int_equal(f->report.lost, 2);
	for (unsigned int i = 0; i < UPPER_PATHS; i++)
		assert_int_equal(reported(f, INVALIDATED, upper_base(i)), (i >= 3 && i <= 5) || i == 22 || i == 23);
	assert_string_equal(upper_count("path like '%-p2_'"), "2");
}

/* ---- the ids ---- */

/* lower.json has the ids as this text. */
static void assert_ids(const char *ids)
{
	char command[400];

	snprintf(command, sizeof(command), "tr -d ' \\n' <lower.json | grep -q '\"upperIds\":\\[%s\\]'", ids);
	upper_run(U, command);
}

static bool is_uppers(unsigned int id)
{
	char sql[100];

	snprintf(sql, sizeof(sql), "id = %u and path like '%%-p2_'", id);
	return !strcmp(upper_count(sql), "1");
}

/* They are those of the database's rows, which are a few, 1 to n. */
static void assert_ids_of_rows(void)
{
	char ids[200] = "";

	for (unsigned int id = 1; id <= 8; id++)
		if (is_uppers(id) != is_uppers(id - 1))
			snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%u", *ids ? "," : "", id);
	assert_true(strlen(ids) >= strlen("1,2,3,4"));
	assert_ids(ids);
}

/* However the rows came to their ids; and a boot over an unchanged database leaves them as they are. */
static void ids_are_recorded(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_REBUILD);
	assert_ids("11,15");
	upper_make(U);
	/* 20 to 23 and 3 to 5, in the order of their paths. */
	upper_fill(f, UL_RECONCILE_ATTACH);
	assert_ids_of_rows();
	upper_run(U, "cp lower.json ../before");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	upper_run(U, "cmp lower.json ../before");
	/* It is written anew. */
	upper_shut_down(U);
	upper_exec("update ValidPaths set hash = 'md5:x' where path like '%-p4' or path like '%-p23'");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_false(f->report.database_kept);
	assert_ids_of_rows();
	/* It stays, and its rows are Nix's: ids without a row are not the lower's. */
	upper_shut_down(U);
	upper_exec("update ValidPaths set id = id + 100 where id in (" ID(20) ", " ID(
		21) ");"
		    "update Refs set referrer = " ID(21) ", reference = " ID(20) " where reference not in"
										 " (select id from ValidPaths)");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_true(f->report.database_kept);
	upper_run(U, "tr -d ' \\n' <lower.json | grep -q '\"checkedId\":10.*\"upperIds\":\\[.*,10[0-9]\\]'");
	/* Without a database there are none. */
	upper_run(U, "rm -r var/nix/db");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_ids("");
}

/* An older file has none; over an unchanged database they are not worked out. */
static void ids_of_an_older_file(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_ATTACH);
	upper_run(U, "sed -i 's/upperIds/x/' lower.json; cp lower.json ../before");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	upper_run(U, "cmp lower.json ../before; touch var/nix/db/db.sqlite");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	upper_run(U, "grep -q upperIds lower.json");
}

static void ranges(void **state)
{
	struct ul_id_ranges r = {.known = true}, back;

	(void)state;
	ul_id_ranges_add(&r, 5, 5);
	assert_int_equal(r.n, 0);
	ul_id_ranges_add(&r, 5, 7);
	ul_id_ranges_add(&r, 7, 9);
	assert_int_equal(r.n, 1);
	ul_id_ranges_add(&r, 12, 13);
	for (int64_t id = 0; id < 20; id++)
		assert_int_equal(ul_id_ranges_has(&r, id), (id >= 5 && id < 9) || id == 12);
	for (int64_t id = 20; id < 20 + 4 * UL_ID_RANGES_MAX; id += 2)
		ul_id_ranges_add(&r, id, id + 1);
	assert_int_equal(r.n, UL_ID_RANGES_MAX);
	assert_false(ul_id_ranges_has(&r, 20 + 3 * UL_ID_RANGES_MAX));
	ul_autojson struct json_object *obj = json_object_new_object();

	assert_true(ul_json_add(obj, "upperIds", ul_id_ranges_json(&r)));
	ul_id_ranges_read(obj, "upperIds", &back);
	assert_true(ul_id_ranges_equal(&r, &back));
}

static void bad_ranges(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"upperIds\": null}",
		"{\"upperIds\": {}}",
		"{\"upperIds\": \"1,2\"}",
		"{\"upperIds\": [1]}",
		"{\"upperIds\": [0, 2]}",
		"{\"upperIds\": [-1, 2]}",
		"{\"upperIds\": [2, 2]}",
		"{\"upperIds\": [3, 2]}",
		"{\"upperIds\": [1, 2, 2, 3]}",
		"{\"upperIds\": [5, 6, 1, 2]}",
		"{\"upperIds\": [1, 2.5]}",
		"{\"upperIds\": [1, \"2\"]}",
		"{\"upperIds\": [[1, 2]]}",
	};
	ul_autobuffer struct ul_buffer many = {0};
	struct json_object *obj;
	struct ul_id_ranges r;
	const char *why;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(texts); i++) {
		obj = ul_json_parse(texts[i], strlen(texts[i]), &why);
		assert_non_null(obj);
		ul_id_ranges_read(obj, "upperIds", &r);
		if (r.known || r.n > 0)
			fail_msg("%s is taken", texts[i]);
		json_object_put(obj);
	}
	assert_int_equal(ul_buffer_printf(&many, "{\"upperIds\": [1, 2"), 0);
	for (unsigned int i = 1; i <= UL_ID_RANGES_MAX; i++)
		assert_int_equal(ul_buffer_printf(&many, ", %u, %u", 3 * i, 3 * i + 1), 0);
	assert_int_equal(ul_buffer_printf(&many, "]}"), 0);
	obj = ul_json_parse((const char *)many.data, many.len, &why);
	ul_id_ranges_read(obj, "upperIds", &r);
	assert_false(r.known);
	json_object_put(obj);
}

/* ---- rows that take the lower's word ---- */

/* What the next lower does with 0 to 9, and with 20 and 21, which the upper has built; 21 refers to 20, 22 to 5. */
static const struct {
	const char *title;
	unsigned int path;
	bool sealed, variant, refs; /* it is in; its contents, or its references, are others */
	bool told;
} changes[] = {
	{"a needed path with other contents", 5, true, true, false, true},
	{"one that is needed by another of the lower", 3, true, true, false, true},
	{"one with other references", 4, true, false, true, true},
	{"one that nothing needs", 8, true, true, false, false},
	{"one that the upper built is sealed as it is", 20, true, false, false, false},
	{"it is sealed with other contents", 20, true, true, false, true},
	{"it is sealed with other references", 20, true, false, true, true},
	{"one that nothing refers to is sealed with other contents", 23, true, true, false, false},
};

static void updates_are_told(void **state)
{
	struct upper_fixture *f = *state;
	unsigned int wrong = 0;

	for (size_t i = 0; i < 2 * UL_ARRAY_SIZE(changes); i++) {
		enum ul_reconcile_mode mode = i % 2 ? UL_RECONCILE_REBUILD : UL_RECONCILE_ATTACH;
		ul_autobuffer struct ul_buffer bytes = {0};
		ul_automanifest struct ul_manifest *next = NULL;
		struct upper_path paths[UPPER_PATHS];
		bool member[UPPER_PATHS] = {false};
		unsigned int path = changes[i / 2].path;

		memcpy(paths, f->paths, sizeof(paths));
		for (unsigned int k = 0; k < 10; k++)
			member[k] = true;
		/* What it refers to is sealed with it. */
		if (path == 23)
			member[22] = true;
		member[path] = changes[i / 2].sealed;
		paths[path].variant = changes[i / 2].variant;
		if (changes[i / 2].refs) {
			paths[path].refs[0] = 0;
			paths[path].n_refs = 1;
		}
		next = upper_manifest(paths, member, &bytes);
		upper_make(U);
		upper_fill(f, mode);
		upper_agree(f, next, mode);
		if (f->report.n[UL_RECONCILE_UPDATED] == changes[i / 2].told &&
		    reported(f, UPDATED, upper_base(path)) == changes[i / 2].told &&
		    f->report.n[UL_RECONCILE_INVALIDATED] == 0)
			continue;
		wrong++;
		print_message("%s, mode %d: %u updated\n", changes[i / 2].title, mode,
			      (unsigned int)f->report.n[UL_RECONCILE_UPDATED]);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
		TEST(only_what_vanished_refuses), TEST(copies_of_rows),       TEST(told_once),
		TEST(ids_are_recorded),           TEST(ids_of_an_older_file), cmocka_unit_test(ranges),
		cmocka_unit_test(bad_ranges),     TEST(updates_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
