/* JSON as it is read and written here: common/json.h, common/json_writer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/json_writer.h"

static void json_is_strict(void **state)
{
	static const char *const bad[] = {"",      "{",    "{}x",      "{\"a\":1,}",  "null",
					  "['a']", "[1,2", "\"\x80\"", "{\"a\":1}{}", "[[[[[[[[[[[[[[[[[[[[1"};
	const char *why;
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(bad); i++)
		assert_null(ul_json_parse(bad[i], strlen(bad[i]), &why));
	const char *text = "{\"s\":\"x\",\"n\":5,\"neg\":-1,\"nul\":\"a\\u0000b\","
			   "\"big\":99999999999999999999} \n";
	ul_autojson struct json_object *obj = ul_json_parse(text, strlen(text), &why);

	assert_non_null(obj);
	assert_string_equal(ul_json_string(obj, "s"), "x");
	assert_null(ul_json_string(obj, "nul"));
	assert_null(ul_json_string(obj, "n"));
	assert_true(ul_json_uint(obj, "n", &n));
	assert_int_equal(n, 5);
	assert_false(ul_json_uint(obj, "neg", &n));
	assert_false(ul_json_uint(obj, "big", &n));
}

/* Whatever a name on a disk is, the text is JSON, and valid UTF-8 stays as it is. */
static void json_is_utf8(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"", ""},
		{"a \"b\" \\ /c\n\x1b", "a \"b\" \\ /c\n\x1b"},
		{"\xff", "\\xff"},
		{"a\xffz\xfe", "a\\xffz\\xfe"},
		{"caf\xc3\xa9", "caf\xc3\xa9"},
		{"\xc2\xa0\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
		 "\xc2\xa0\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
		/* It ends too early: at the end, and before another character. */
		{"\xc3", "\\xc3"},
		{"\xe2\x82", "\\xe2\\x82"},
		{"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
		{"\xe2\x82z", "\\xe2\\x82z"},
		{"\xc3\xc3\xa9", "\\xc3\xc3\xa9"},
		/* A byte that only goes on, longer forms than needed, a surrogate, above U+10FFFF. */
		{"\x80", "\\x80"},
		{"\xc1\xbf", "\\xc1\\xbf"},
		{"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
		{"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
		/* Terminals obey these. */
		{"\x7f\xc2\x9b", "\\x7f\\xc2\\x9b"},
	};
	static const char nul[] = {'a', '\0', '\xff'};
	ul_autojson struct json_object *len = ul_json_new_string_len(nul, sizeof(nul));
	ul_autojson struct json_object *cut = ul_json_new_string_len("\xc3\xa9", 1);

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		ul_autojson struct json_object *obj = json_object_new_object(), *back = NULL;
		const char *why;

		assert_true(ul_json_add_string(obj, "s", cases[i].text));
		back = ul_json_parse(ul_json_line(obj), strlen(ul_json_line(obj)), &why);
		assert_non_null(back);
		assert_string_equal(ul_json_string(back, "s"), cases[i].shown);
	}
	assert_string_equal(ul_json_line(len), "\"a\\u0000\\\\xff\"");
	assert_string_equal(ul_json_line(cut), "\"\\\\xc3\"");
	assert_null(ul_json_new_string(NULL));
}

static void json_is_written_member_by_member(void **state)
{
	char *text = NULL;
	size_t len;
	struct ul_json_writer w = {.out = open_memstream(&text, &len)};

	(void)state;
	assert_non_null(w.out);
	ul_json_writer_begin(&w);
	assert_true(ul_json_writer_member(&w, "/a\xff", json_object_new_array()));
	assert_true(ul_json_writer_member(&w, "b", ul_json_new_string("c/d")));
	assert_false(ul_json_writer_member(&w, "nothing", NULL));
	ul_json_writer_end(&w);
	assert_int_equal(fclose(w.out), 0);
	assert_string_equal(text, "{\"/a\\\\xff\":[],\"b\":\"c/d\"}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_strict),
		cmocka_unit_test(json_is_utf8),
		cmocka_unit_test(json_is_written_member_by_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
