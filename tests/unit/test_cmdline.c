/* The kernel command line is taken apart as the kernel does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "initrd/policy/cmdline.h"

/* Words as "name" or "name=value", joined by '|'; a word without '=' has no '='. */
static void check(const char *text, const char *want)
{
	struct ul_cmdline c = {0};
	struct ul_error err;
	char got[512] = "";

	assert_int_equal(ul_cmdline_parse(text, strlen(text), &c, &err), 0);
	for (size_t i = 0; i < c.n; i++) {
		strcat(got, i ? "|" : "");
		strcat(got, c.args[i].name);
		strcat(got, c.args[i].value ? "=" : "");
		strcat(got, c.args[i].value ? c.args[i].value : "");
	}
	assert_string_equal(got, want);
	ul_cmdline_free(&c);
}

static void test_words(void **state)
{
	(void)state;
	check("", "");
	check("\n", "");
	check("quiet", "quiet");
	check("quiet\n", "quiet");
	check("  a \t b=1\nc=\n", "a|b=1|c=");
	check("a=b=c", "a=b=c");
	check("=x", "=x");
	/* White space for the kernel, whose letters are Latin-1. */
	check("a\xa0"
	      "b=1\xa0\xa0"
	      "c",
	      "a|b=1|c");
	check("a=\"x\xa0"
	      "y\" b",
	      "a=x\xa0"
	      "y|b");
}

static void test_quotes(void **state)
{
	(void)state;
	/* Around a value, around the whole word: dropped. */
	check("a=\"x y\" b", "a=x y|b");
	check("\"a=x y\" b", "a=x y|b");
	check("\"a b\"", "a b");
	/* Anywhere else they keep spaces together and stay. */
	check("a=x\" \"y b", "a=x\" \"y|b");
	/* An open quote reaches to the end; nothing is read beyond it. */
	check("a=\"x y", "a=x y");
	check("\"", "");
	check("a=\"", "a=");
	check("\"\" b", "|b");
}

static void test_init_arguments(void **state)
{
	(void)state;
	check("a -- underlay.log=debug b", "a");
	check("a --=1 b", "a|--=1|b");
}

static void test_rejects(void **state)
{
	struct ul_cmdline c = {0};
	struct ul_error err;
	char *text = malloc(UL_CMDLINE_MAX + 1);

	(void)state;
	memset(text, 'a', UL_CMDLINE_MAX + 1);
	assert_int_equal(ul_cmdline_parse(text, UL_CMDLINE_MAX + 1, &c, &err), -UL_E_CMDLINE);
	assert_int_equal(ul_cmdline_parse(text, UL_CMDLINE_MAX, &c, &err), 0);
	assert_int_equal(c.n, 1);
	ul_cmdline_free(&c);
	assert_int_equal(ul_cmdline_parse("a\0b", 3, &c, &err), -UL_E_CMDLINE);
	assert_null(c.args);
	free(text);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(ul_cmdline_is("underlay.root_hash", "underlay.root-hash"));
	assert_true(ul_cmdline_is("underlay.root-hash", "underlay.root-hash"));
	assert_false(ul_cmdline_is("underlay.root", "underlay.root-hash"));
	assert_false(ul_cmdline_is("underlay.root-hash2", "underlay.root-hash"));
	assert_true(ul_cmdline_is("underlay.", "underlay.*"));
	assert_true(ul_cmdline_is("underlay.x", "underlay.*"));
	assert_false(ul_cmdline_is("underlayx", "underlay.*"));
	assert_false(ul_cmdline_is("Underlay.log", "underlay.log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),   cmocka_unit_test(test_quotes), cmocka_unit_test(test_init_arguments),
		cmocka_unit_test(test_rejects), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
