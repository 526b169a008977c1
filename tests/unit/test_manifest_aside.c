/*
 * First the closure, then the rows: bad rows beside the closure that is wanted stop nothing, in each form of a source;
 * the same rows within it do, and so does everything where all of a source is wanted.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/buffer.h"
#include "common/file.h"
#include "common/json_stream.h"
#include "dbgen/exchange/import.h"
#include "dbgen/store/store_link.h"

#define HEX  "0000000000000000000000000000000000000000000000000000000000000007"
#define GOOD "/nix/store/11111111111111111111111111111111-good"
#define DEP  "/nix/store/33333333333333333333333333333333-dependency"
#define BAD  "/nix/store/22222222222222222222222222222222-bad"

enum form { REGISTRATION, JSON, DATABASE };

/* A row of BAD, or in its place. why: what its refusal says; NULL: nobody minds. */
struct odd {
	enum form form;
	const char *row, *why;
};

#define RECORD(path, hash, size, deriver, refs) path "\n" hash "\n" size "\n" deriver "\n" refs "\n"
#define OBJECT(path, hash, size, more) \
	"\"" path "\":{\"narHash\":\"" hash "\",\"narSize\":" size ",\"references\":[" more "]}"
#define VALID "insert into ValidPaths (id, path, hash, registrationTime, narSize, deriver, sigs) values "

static const struct odd odds[] = {
	{REGISTRATION, RECORD(BAD, "zzz", "120", "", "0"), "line 13: the NAR hash is not a SHA-256 hash"},
	{REGISTRATION, RECORD(BAD, HEX, "-5", "", "0"), "line 14: the NAR size is not a number from 0 to 2^63 - 1"},
	{REGISTRATION, RECORD(BAD, HEX, "5", "", "1\n/oix/store/x"),
	 "it refers to /oix/store/x: it does not lie in the store directory /nix/store"},
	{REGISTRATION, RECORD(BAD, HEX, "5", "", "1\n/nix/store/22222222222222222222222222222222-"),
	 "it refers to /nix/store/22222222222222222222222222222222-: it is not a valid store path"},
	{REGISTRATION, RECORD(BAD, HEX, "5", "", "0") RECORD(BAD, HEX, "6", "", "0"),
	 "it is given twice with different NAR sizes"},
	{REGISTRATION, RECORD(BAD, HEX, "5", "unknown-deriver", "0"), NULL},
	{REGISTRATION, RECORD("/foo" BAD, HEX, "5", "", "0"), "it does not lie in the store directory /nix/store"},
	{REGISTRATION, RECORD("/nix/store/22222222222222222222222222222222-", HEX, "5", "", "0"),
	 "it is not a valid store path"},
	{JSON, "\"" BAD "\":null", BAD ": it was not valid in the store that was asked"},
	{JSON, "\"" BAD "\":1", BAD ": it is not an object"},
	{JSON, OBJECT(BAD, "x", "1", ""), BAD ": its narHash is not a SHA-256 hash"},
	{JSON, OBJECT(BAD, HEX, "-1", ""), BAD ": its narSize is missing or not a number from 0 to 2^63 - 1"},
	{JSON, OBJECT(BAD, HEX, "1", "1"), BAD ": a reference is not a string"},
	{JSON, OBJECT(BAD, HEX, "1", "\"/oix\""),
	 "it refers to /oix: it does not lie in the store directory /nix/store"},
	{JSON, OBJECT("/foo" BAD, HEX, "1", ""), "it does not lie in the store directory /nix/store"},
	{JSON, OBJECT("onix/store/x", HEX, "1", ""), "onix/store/x: it is not a store path"},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:zz', 1, 1, null, null)", BAD ": its hash is not a SHA-256 hash"},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:" HEX "', 1, -1, null, null)", BAD ": its NAR size is negative"},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:" HEX "', 1, 1, 'unknown-deriver', null)", NULL},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:" HEX "', 1, 1, '/nix/store/22222222222222222222222222222222-', null)",
	 NULL},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:" HEX "', 1, 1, null, ' ')",
	 "its signatures hold odd characters or stray spaces"},
	{DATABASE, VALID "(9, '/foo" BAD "', 'sha256:" HEX "', 1, 1, null, null)",
	 "it does not lie in the store directory /nix/store"},
	{DATABASE, VALID "(9, x'2f00', 'sha256:" HEX "', 1, 1, null, null)", "ValidPaths: a path is not a text"},
	{DATABASE, VALID "(9, '" BAD "', 'sha256:" HEX "', 1, 1, null, null); insert into Refs values (9, 77)",
	 BAD ": it refers to an id that no path has"},
	{DATABASE, "insert into Refs values (9, 1)", "Refs: a referrer is an id that no path has"},
	{DATABASE,
	 VALID "(9, '" BAD "', 'sha256:" HEX "', 1, 1, null, null);"
	       "insert into DerivationOutputs values (9, 'out', '/nix/store/22222222222222222222222222222222-')",
	 "it is not a valid store path"},
};

static int import_text(const struct odd *odd, struct ul_builder *b, struct ul_error *err)
{
	static const char good[] = RECORD(GOOD, HEX, "120", "", "1\n" DEP) RECORD(DEP, HEX, "120", "", "0");
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofclose FILE *in = NULL;

	if (odd->form == REGISTRATION)
		assert_int_equal(ul_buffer_printf(&text, "%s%s", good, odd->row), 0);
	else
		assert_int_equal(ul_buffer_printf(&text, "{%s,%s,%s}", OBJECT(GOOD, HEX, "120", "\"" DEP "\""),
						  odd->row, OBJECT(DEP, HEX, "120", "")),
				 0);
	in = fmemopen(text.data, text.len, "r");
	assert_non_null(in);
	return odd->form == JSON ? ul_import_path_info(b, in, "x", err) : ul_import_registration(b, in, "x", err);
}

static int import_database(const struct odd *odd, struct ul_builder *b, struct ul_error *err)
{
	static const char schema[] =
		"create table ValidPaths (id integer primary key, path text, hash text, registrationTime integer,"
		" deriver text, narSize integer, ultimate integer, sigs text, ca text);"
		"create table Refs (referrer integer, reference integer);"
		"create table DerivationOutputs (drv integer, id text, path text);" VALID "(1, '" GOOD "', 'sha256:" HEX
		"', 1, 120, null, null), (2, '" DEP "', 'sha256:" HEX "', 1, 120, null, null);"
		"insert into Refs values (1, 2);";
	char path[] = "/tmp/test_aside.XXXXXX";
	int fd = mkstemp(path), r;
	sqlite3 *db;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, schema, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, odd->row, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	r = ul_import_database(b, path, err);
	unlink(path);
	return r;
}

/* 0 and the number of paths, or the failure. */
static int make(const struct odd *odd, const char *root, uint32_t *ret_n, size_t *ret_notes, struct ul_error *err)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_manifest *m;
	int r;

	assert_non_null(b);
	if (root)
		assert_int_equal(ul_builder_restrict(b, &root, 1, err), 0);
	r = odd->form == DATABASE ? import_database(odd, b, err) : import_text(odd, b, err);
	if (r == 0)
		r = ul_builder_finish(b, &file, err);
	if (r == 0) {
		assert_int_equal(ul_manifest_open_memory(file.data, file.len, &m, NULL), 0);
		*ret_n = ul_manifest_n_paths(m);
		ul_manifest_close(m);
		(void)ul_builder_notes(b, ret_notes);
	}
	ul_builder_free(b);
	return r;
}

static void beside_the_closure(void **state)
{
	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(odds); i++) {
		struct ul_error err = {0};
		size_t notes = 0;
		uint32_t n = 0;

		if (make(&odds[i], GOOD, &n, &notes, &err) < 0 || n != 2)
			fail_msg("%s: %u paths: %s", odds[i].row, n, err.why);
		/* Named where it could not be used; a deriver of a path that is not wanted concerns nobody. */
		if (notes != (odds[i].why ? 1 : 0))
			fail_msg("%s: %zu notes", odds[i].row, notes);
	}
}

static void where_all_is_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(odds); i++) {
		struct ul_error err = {0};
		size_t notes = 0;
		uint32_t n = 0;
		int r = make(&odds[i], NULL, &n, &notes, &err);

		if (odds[i].why ? r == 0 || strcmp(err.why, odds[i].why) != 0 : r < 0 || n != 3 || notes != 1)
			fail_msg("%s: %d: %s", odds[i].row, r, err.why);
	}
}

/* The row's own path is asked for. */
static void within_the_closure(void **state)
{
	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(odds); i++) {
		struct ul_error err = {0};
		size_t notes = 0;
		uint32_t n = 0;
		int r;

		if (!odds[i].why || !strstr(odds[i].row, BAD) || strstr(odds[i].row, "/foo" BAD))
			continue;
		r = make(&odds[i], BAD, &n, &notes, &err);
		if (r == 0 || strcmp(err.why, odds[i].why) != 0)
			fail_msg("%s: %d: %s", odds[i].row, r, err.why);
	}
}

/* The path that is bad is referred to; a root that no source has. */
static void needed(void **state)
{
	static const struct odd by_reference = {REGISTRATION,
						RECORD(BAD, "zzz", "1", "", "0")
							RECORD("/nix/store/44444444444444444444444444444444-top", HEX,
							       "1", "", "1\n" BAD),
						NULL};
	struct ul_error err = {0};
	size_t notes;
	uint32_t n;

	(void)state;
	assert_int_equal(make(&by_reference, "/nix/store/44444444444444444444444444444444-top", &n, &notes, &err),
			 -UL_E_INPUT);
	assert_string_equal(err.why, "line 13: the NAR hash is not a SHA-256 hash");
	assert_int_equal(make(&by_reference, GOOD, &n, &notes, &err), 0);
	assert_int_equal(make(&by_reference, "/nix/store/55555555555555555555555555555555-absent", &n, &notes, &err),
			 -UL_E_INPUT);
	assert_string_equal(err.why, "the source does not have this path");
}

/* ---- JSON in pieces ---- */

static const char *read_stream(const char *text, size_t len, size_t *ret_members)
{
	ul_autofclose FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");
	struct ul_json_stream s;
	const char *why;
	int more = -1;

	assert_non_null(in);
	assert_int_equal(ul_json_stream_open(&s, in), 0);
	*ret_members = 0;
	if (ul_json_stream_enter(&s, '{'))
		while ((more = ul_json_stream_next(&s, '}')) > 0) {
			ul_autojson struct json_object *key = NULL, *value = NULL;

			if (ul_json_stream_key(&s, &key) < 0 || ul_json_stream_value(&s, &value) < 0)
				break;
			++*ret_members;
		}
	if (more == 0)
		(void)ul_json_stream_end(&s);
	why = s.why;
	ul_json_stream_close(&s);
	return why;
}

/* A character of several bytes lies across the end of a block, at each of its bytes. */
static void json_across_blocks(void **state)
{
	(void)state;
	for (size_t shift = 0; shift<70000; shift += shift> 65500 && shift < 65560 ? 1 : 500) {
		ul_autobuffer struct ul_buffer text = {0};
		const char *why;
		size_t n;

		assert_int_equal(ul_buffer_printf(&text, "%*s{\"a\":\"\U0001F600\u20ac\u00e4\", \"b\":12345, \"c\":{}}",
						  (int)shift, ""),
				 0);
		why = read_stream((const char *)text.data, text.len, &n);
		if (why || n != 3)
			fail_msg("shifted by %zu: %zu members, %s", shift, n, why);
	}
}

static void json_refused(void **state)
{
	static const char *const texts[][2] = {
		{"{\"a\":1", "it ends too early"},
		{"{\"a\":1,}", "no element follows a comma"},
		{"{\"a\":1 \"b\":2}", "a comma is missing between two elements"},
		{"{\"a\" 1}", "no colon follows a key"},
		{"{a:1}", "a key is not a string"},
		{"{\"a\\u0000\":1}", "a key holds a NUL byte"},
		{"{\"a\":1} {", "more text follows the document"},
		{"{\"a\":[1,]}", "unexpected character"},
		{"{\"a\":\"\xff\"}", "invalid utf-8 string"},
		{"{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "nesting too deep"},
	};
	size_t n;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(texts); i++) {
		const char *why = read_stream(texts[i][0], strlen(texts[i][0]), &n);

		if (!why || strcmp(why, texts[i][1]) != 0)
			fail_msg("%s: %s", texts[i][0], why);
	}
	assert_null(read_stream(" { } ", 5, &n));
}

/* ---- links ---- */

static void links(void **state)
{
	char dir[] = "/tmp/test_links.XXXXXX", path[64], out[UL_STORE_PATH_SIZE];
	static const char *const made[][2] = {
		{"result", GOOD},      {"second", "result"},    {"up", "../../nix/../nix/store"}, {"loop", "loop"},
		{"into", GOOD "/bin"}, {"dangling", "nowhere"}, {"foreign", "/gnu/store/x"}};
	static const char *const follows[] = {
		"result",        "./second",
		"result/bin/sh", "into",
		"./././into/x",  GOOD,
		GOOD "/",        "//nix/./store/../store/11111111111111111111111111111111-good"};
	static const char *const stays[] = {"loop", "dangling", "foreign", ".", "", "/nix/store", "/nix/store/"};

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	for (size_t i = 0; i < UL_ARRAY_SIZE(made); i++)
		assert_int_equal(symlink(made[i][1], made[i][0]), 0);
	for (size_t i = 0; i < UL_ARRAY_SIZE(follows); i++) {
		assert_int_equal(ul_store_path_follow("/nix/store", follows[i], out, NULL), 0);
		assert_string_equal(out, GOOD);
	}
	for (size_t i = 0; i < UL_ARRAY_SIZE(stays); i++)
		assert_int_equal(ul_store_path_follow("/nix/store", stays[i], out, NULL), -UL_E_INPUT);
	snprintf(path, sizeof(path), "up/%s", GOOD + strlen("/nix/store/"));
	assert_int_equal(ul_store_path_follow("/nix/store", path, out, NULL), 0);
	assert_string_equal(out, GOOD);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(ul_remove_tree(AT_FDCWD, dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_the_closure),
		cmocka_unit_test(where_all_is_wanted),
		cmocka_unit_test(within_the_closure),
		cmocka_unit_test(needed),
		cmocka_unit_test(json_across_blocks),
		cmocka_unit_test(json_refused),
		cmocka_unit_test(links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
