/*
 * The table of kernel parameters as a whole, against a policy that sets everything: whatever a row is given, it
 * changes its own setting or none, and none that the rule does not let it change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_help.h"
#include "verity/open/open.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DUMP   16384

static const char strict[] = "[verify]\nmode = both\nroot-hash = " HASH_A "\ndescriptor = required\n"
			     "rollback-min = 5\ncorruption = panic\n"
			     "[image]\nname = demo\ndesignator = usr\ndisks = vda\ntimeout = 31s\n"
			     "settle = 3s\n[modules]\nload = loop\ncoldplug = no\n"
			     "[lower]\nfilesystems = erofs\n[root]\nsize = 65M\n"
			     "[upper]\ntype = tmpfs\nsize = 66M\n[database]\nmode = attach\n"
			     "[system]\npath = /nix/store/x\ninit = init\n"
			     "[failure]\naction = poweroff\ndelay = 11s\n[log]\nlevel = warning\n";

/* Besides the choices of the row's own setting. NULL: the bare word. */
static const char *const values[] = {
	NULL,    "",      "0",    "1",       "4",      "5",        "6",       "-1",         "99999999999999999999",
	"no",    "yes",   "off",  "on",      HASH_A,   HASH_B,     "/bin/sh", "sda",        "9999h",
	"64G",   "shell", "none", "user",    "pinned", "optional", "9p:x",    "virtiofs:x", "insecure",
	"debug", "ext4",  "init", "nix/../", "*",
};

static struct ul_error err;

static void read_policy(struct ul_policy *p, bool everything_allowed)
{
	char text[8192];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s", strict);

	if (everything_allowed)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "[cmdline]\n");
	for (const struct ul_param *row = ul_params; everything_allowed && row->name; row++)
		if (row->rule != UL_PARAM_REFUSED && row->rule != UL_PARAM_IGNORED)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "allow = %s\n", row->name);
	assert_true(at + 2 < sizeof(text));
	text[at++] = '\n';
	ul_policy_init(p);
	assert_int_equal(ul_policy_parse(p, text, at, "test.conf", &err), 0);
}

static int apply(struct ul_policy *p, const char *text)
{
	struct ul_cmdline c = {0};
	int r;

	assert_int_equal(ul_cmdline_parse(text, strlen(text), &c, &err), 0);
	r = ul_policy_apply(p, &c, &err);
	ul_cmdline_free(&c);
	return r;
}

/* A parameter of the row's kind, with the value. */
static void write_parameter(const struct ul_param *row, const char *value, char *buf, size_t size)
{
	size_t len = strlen(row->name);
	bool pattern = row->name[len - 1] == '*';

	snprintf(buf, size, "%.*s%s%s%s", (int)(pattern ? len - 1 : len), row->name, pattern ? "anything" : "",
		 value ? "=" : "", value ? value : "");
}

/* Of the lines of the two dumps that differ, all are of the setting SECTION.KEY. */
static void assert_only_changed(const char *before, const char *after, const char *section, const char *key)
{
	char own[128];

	snprintf(own, sizeof(own), "%s.%s=", section ? section : "-", key ? key : "-");
	while (*before && *after) {
		size_t b = strcspn(before, "\n"), a = strcspn(after, "\n");

		if ((a != b || memcmp(before, after, a) != 0) && strncmp(before, own, strlen(own)) != 0)
			fail_msg("%.*s became %.*s; only %s may change", (int)b, before, (int)a, after, own);
		before += b + (before[b] == '\n');
		after += a + (after[a] == '\n');
	}
	assert_true(!*before && !*after);
}

/* What holds after any command line. */
static void assert_strict(const struct ul_policy *p)
{
	assert_int_equal(p->verify_mode, UL_VERIFY_BOTH);
	assert_null(p->lower_share);
	assert_int_equal(p->descriptor, 0);
	assert_int_equal(p->pinned_len, 32);
	assert_int_equal(p->pinned[0], 0xaa);
	assert_true(p->pin_trusted);
	assert_true(p->rollback_min >= 5);
	assert_int_equal(p->designator, 0);
	assert_string_equal(p->filesystems[0], "erofs");
	assert_null(p->filesystems[1]);
	assert_int_not_equal(p->action, UL_FAIL_SHELL);
}

static void try_value(const struct ul_param *row, const char *value, bool everything_allowed)
{
	static char before[DUMP], after[DUMP];
	char arg[256];
	struct ul_policy p;
	bool is_init = !strcmp(row->name, "init");
	int r;

	read_policy(&p, everything_allowed);
	policy_dump(&p, before, sizeof(before));
	/* What init= names is remembered, to be compared with what is started anyway. */
	*strstr(before, "\npin=") = '\0';
	write_parameter(row, value, arg, sizeof(arg));
	r = apply(&p, arg);
	policy_dump(&p, after, sizeof(after));
	*strstr(after, "\npin=") = '\0';
	assert_true(r == 0 || r == -UL_E_CMDLINE);
	assert_strict(&p);
	if (r < 0)
		assert_string_equal(before, after);
	switch (row->rule) {
	case UL_PARAM_FREE:
		assert_only_changed(before, after, "log", "level");
		break;
	case UL_PARAM_STRENGTHEN:
		assert_only_changed(before, after, row->section, row->key);
		break;
	case UL_PARAM_ALLOWED:
		if (everything_allowed && !is_init)
			assert_only_changed(before, after, row->section, row->key);
		else
			assert_string_equal(before, after);
		if (!everything_allowed && !is_init)
			assert_int_equal(r, -UL_E_CMDLINE);
		break;
	case UL_PARAM_REFUSED:
		assert_int_equal(r, -UL_E_CMDLINE);
		break;
	case UL_PARAM_IGNORED:
		assert_int_equal(r, 0);
		assert_string_equal(before, after);
		break;
	}
	ul_policy_free(&p);
}

static const struct ul_config_key *key_of(const struct ul_param *row)
{
	for (const struct ul_config_key *k = ul_policy_keys; row->key && k->key; k++)
		if (!strcmp(k->section, row->section) && !strcmp(k->key, row->key))
			return k;
	return NULL;
}

static void test_no_value_weakens(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		const struct ul_config_key *key = key_of(row);

		for (int allowed = 0; allowed < 2; allowed++) {
			for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
				try_value(row, values[i], allowed);
			for (size_t i = 0; key && key->choices && key->choices[i]; i++)
				try_value(row, key->choices[i], allowed);
		}
	}
}

/* Rows earlier in the table must not hide later ones: each is reached by its own name. */
static void test_each_row_is_reached(void **state)
{
	char arg[256];

	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		write_parameter(row, NULL, arg, sizeof(arg));
		assert_ptr_equal(ul_param_find(arg), row);
	}
	assert_null(ul_param_find("underlay"));
	assert_null(ul_param_find("rootwait"));
}

/*
 * A setting without a row cannot be reached: no spelling changes it. (Where a spelling is the row of another
 * setting it changes that one only, which the walk above has shown.)
 */
static void test_settings_without_a_row(void **state)
{
	static const char *const forms[][2] = {{"", "."}, {"underlay.", "."}, {"underlay.", "-"}};
	static char before[DUMP], after[DUMP];
	size_t tried = 0;

	(void)state;
	for (const struct ul_config_key *k = ul_policy_keys; k->key; k++)
		for (size_t i = 0; i < 3 * sizeof(values) / sizeof(values[0]); i++) {
			const char *value = values[i / 3];
			const struct ul_param *row;
			char name[128], arg[256];
			struct ul_policy p;

			snprintf(name, sizeof(name), "%s%s%s%s", forms[i % 3][0], k->section, forms[i % 3][1], k->key);
			row = ul_param_find(name);
			if (!value || (row && row->key))
				continue;
			snprintf(arg, sizeof(arg), "%s=%s", name, value);
			read_policy(&p, true);
			policy_dump(&p, before, sizeof(before));
			(void)apply(&p, arg);
			policy_dump(&p, after, sizeof(after));
			assert_string_equal(before, after);
			ul_policy_free(&p);
			tried++;
		}
	assert_true(tried > 1000);
}

/* Many at once, in any order: one parameter must not open the door for another. */
static void test_sequences(void **state)
{
	size_t rows = 0;
	uint32_t seed = 1;

	(void)state;
	while (ul_params[rows].name)
		rows++;
	for (int i = 0; i < 5000; i++) {
		char line[2048] = "";
		struct ul_policy p;
		size_t at = 0;

		for (int j = 0; j < 6; j++) {
			seed = seed * 1664525 + 1013904223;
			write_parameter(&ul_params[(seed >> 8) % rows],
					values[(seed >> 20) % (sizeof(values) / sizeof(values[0]))], line + at,
					sizeof(line) - at);
			at = strlen(line);
			line[at++] = ' ';
			line[at] = '\0';
		}
		read_policy(&p, i & 1);
		(void)apply(&p, line);
		assert_strict(&p);
		ul_policy_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_value_weakens),
		cmocka_unit_test(test_each_row_is_reached),
		cmocka_unit_test(test_settings_without_a_row),
		cmocka_unit_test(test_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
