/*
 * The tables of settings and of kernel parameters as a whole. Each row is sound and is read. Against a policy that sets
 * everything, whatever a parameter is given changes its own setting or nothing, and nothing that its rule protects.
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

#define DUMP 16384

/*
 * Settings of the strict policy that are not the row's other value: the strict one, or one that the others permit.
 * NULL: cannot be set beside the others.
 */
static const struct {
	const char *section, *key, *value;
} strict_values[] = {
	{"verify", "mode", "both"},
	{"verify", "descriptor", "required"},
	{"verify", "rollback-min", "5"},
	{"image", "designator", "usr"},
	{"image", "file", NULL},
	{"image", "file-device", NULL},
	{"lower", "filesystems", "erofs"},
	{"lower", "share", NULL},
	{"upper", "device", "PARTLABEL=x"},
	{"upper", "guard", "anew"}, /* checked wants check = yes */
	{"failure", "action", "poweroff"},
	{"cmdline", "allow", NULL},
};

/* Besides the choices of the row's own setting. NULL: the bare word. */
static const char *const values[] = {
	NULL,    "",      "0",    "1",       "4",      "5",        "6",       "-1",         "99999999999999999999",
	"no",    "yes",   "off",  "on",      HASH_A,   HASH_B,     "/bin/sh", "sda",        "9999h",
	"64G",   "shell", "none", "user",    "pinned", "optional", "9p:x",    "virtiofs:x", "insecure",
	"debug", "ext4",  "init", "nix/../", "*",
};

static struct ul_error err;

static const char *strict_value(const struct ul_config_key *key)
{
	for (size_t i = 0; i < sizeof(strict_values) / sizeof(strict_values[0]); i++)
		if (!strcmp(strict_values[i].section, key->section) && !strcmp(strict_values[i].key, key->key))
			return strict_values[i].value;
	return policy_other_value(key);
}

/* A policy that sets every row. */
static void read_policy(struct ul_policy *p, bool everything_allowed)
{
	const struct ul_config_key *allow = ul_config_find(ul_policy_keys, "cmdline", "allow");
	char text[16384] = "";

	for (const struct ul_config_key *key = ul_policy_keys; key->key; key++)
		if (strict_value(key))
			policy_append(text, sizeof(text), key, strict_value(key));
	for (const struct ul_param *row = ul_params; everything_allowed && row->name; row++)
		if (row->rule != UL_PARAM_REFUSED && row->rule != UL_PARAM_IGNORED)
			policy_append(text, sizeof(text), allow, row->name);
	ul_policy_init(p);
	if (ul_policy_parse(p, text, strlen(text), "test.conf", &err) < 0)
		fail_msg("%s: %s", err.what, err.why);
}

static int apply(struct ul_policy *p, const char *text)
{
	return policy_apply(p, text, &err);
}

/* A parameter of the row's kind, with the value. */
static void write_parameter(const struct ul_param *row, const char *value, char *buf, size_t size)
{
	size_t len = strlen(row->name);
	bool pattern = row->name[len - 1] == '*';

	snprintf(buf, size, "%.*s%s%s%s", (int)(pattern ? len - 1 : len), row->name, pattern ? "anything" : "",
		 value ? "=" : "", value ? value : "");
}

/* Each line that differs between the dumps is of the setting SECTION.KEY. */
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
	assert_int_equal(p->verify_mode, UL_POLICY_BOTH);
	assert_null(p->lower_share);
	assert_int_equal(p->descriptor, UL_REQUIRED);
	assert_int_equal(p->pinned_len, 32);
	assert_int_equal(p->pinned[0], 0xaa);
	assert_int_equal(p->rollback_min, 5);
	assert_int_equal(p->designator, UL_DESIGNATOR_USR);
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
	write_parameter(row, value, arg, sizeof(arg));
	r = apply(&p, arg);
	policy_dump(&p, after, sizeof(after));
	assert_true(r == 0 || r == -UL_E_CMDLINE);
	assert_strict(&p);
	if (r < 0)
		assert_string_equal(before, after);
	switch (row->rule) {
	case UL_PARAM_FREE:
		assert_only_changed(before, after, "log", "level");
		break;
	case UL_PARAM_STRENGTHEN:
		/* test_demands.c shows that what it demands is demanded. */
		assert_string_equal(before, after);
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

/* The rows are what the manual tells, so each says what a manual has to. */
static void test_rows_are_sound(void **state)
{
	struct ul_policy p = {0};

	(void)state;
	assert_int_equal(ul_config_init(ul_policy_keys, &p, &err), 0);
	assert_true(ul_config_complete(ul_policy_keys, &p));
	ul_policy_free(&p);
	for (const struct ul_config_key *key = ul_policy_keys; key->key; key++) {
		bool text = key->kind == UL_CONFIG_STRING || key->kind == UL_CONFIG_LIST;
		bool number =
			key->kind == UL_CONFIG_UINT || key->kind == UL_CONFIG_SIZE || key->kind == UL_CONFIG_DURATION;

		assert_ptr_equal(ul_config_find(ul_policy_keys, key->section, key->key), key);
		assert_true(text || key->def);
		assert_true(key->kind != UL_CONFIG_ENUM || key->choices);
		assert_true(number || (!key->min && !key->max));
		assert_true(strlen(key->why) > 10 && key->why[strlen(key->why) - 1] != '.');
		for (size_t i = 0; i < UL_CONFIG_NEEDS && key->needs[i].key; i++) {
			const struct ul_config_need *need = &key->needs[i];
			const struct ul_config_key *other = ul_config_find(ul_policy_keys, need->section, need->key);

			assert_non_null(other);
			assert_ptr_not_equal(other, key);
			assert_int_equal(other->kind, UL_CONFIG_ENUM);
			assert_int_not_equal(need->values, 0);
		}
	}
}

/* A value that is not the default arrives in the row's own field, and in no other. */
static void test_every_setting_is_read(void **state)
{
	static char before[DUMP], after[DUMP];
	struct ul_policy defaults, p;

	(void)state;
	ul_policy_init(&defaults);
	policy_dump(&defaults, before, sizeof(before));
	for (const struct ul_config_key *key = ul_policy_keys; key->key; key++) {
		char text[256] = "";

		policy_append(text, sizeof(text), key, policy_other_value(key));
		ul_policy_init(&p);
		assert_int_equal(ul_config_parse(ul_policy_keys, text, strlen(text), "test.conf", &p, &err), 0);
		assert_false(ul_config_same(key, &p, &defaults));
		policy_dump(&p, after, sizeof(after));
		assert_only_changed(before, after, key->section, key->key);
		ul_policy_free(&p);
	}
	ul_policy_free(&defaults);
}

/* The sentences of a policy, in order. */
static void assert_idle(const char *text, const char *const *want)
{
	ul_autonames struct ul_names idle = {0};
	struct ul_policy p;

	ul_policy_init(&p);
	assert_int_equal(ul_policy_parse(&p, text, strlen(text), "test.conf", &err), 0);
	assert_int_equal(ul_policy_idle(&p, &idle, &err), 0);
	for (size_t i = 0; i < idle.n || want[i]; i++) {
		assert_true(i < idle.n && want[i]);
		assert_string_equal(idle.at[i], want[i]);
	}
	ul_policy_free(&p);
}

static void test_settings_without_effect(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const label[] = {"[upper] label has no effect: it needs [upper] prepare = format", NULL};
	static const char *const tmpfs[] = {"[upper] prepare has no effect: it needs [upper] type = disk",
					    "[upper] label has no effect: it needs [upper] type = disk", NULL};
	static const char *const size[] = {"[upper] size has no effect: it needs [upper] type = tmpfs", NULL};
	static const char *const hook[] = {
		"[database] remount-hook has no effect: it needs [database] mode = auto or attach", NULL};
	static const char *const version[] = {"[database] nix-version has no effect: it needs [database] mode = auto",
					      NULL};

	(void)state;
	assert_idle("", none);
	assert_idle("[upper]\ntype = disk\ndevice = /dev/x\nlabel = x\n", label);
	assert_idle("[upper]\ntype = disk\ndevice = /dev/x\nlabel = x\nprepare = format\n", none);
	assert_idle("[upper]\nlabel = x\nprepare = format\n", tmpfs);
	/* Given, and its default all the same. */
	assert_idle("[upper]\ncheck = yes\ntimeout = 30s\nfilesystem = ext4\n", none);
	/* One of two needs is enough. */
	assert_idle("[upper]\nsize = 1G\n", none);
	assert_idle("[upper]\ntype = disk\ndevice = /dev/x\nsize = 1G\n", size);
	assert_idle("[upper]\ntype = disk\ndevice = /dev/x\nsize = 1G\nprepare = format\n", none);
	/* What the command line may set can still become what is needed. */
	assert_idle("[database]\nmode = rebuild\nremount-hook = /x\n", hook);
	assert_idle("[database]\nmode = rebuild\nremount-hook = /x\n[cmdline]\nallow = underlay.database\n", none);
	assert_idle("[database]\nmode = rebuild\nnix-version = 2.26\n", version);
	assert_idle("[database]\nmode = attach\nnix-version = 2.26\n", version);
	assert_idle("[database]\nnix-version = 2.26\n", none);
}

static void test_no_value_weakens(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		const struct ul_config_key *key =
			row->key ? ul_config_find(ul_policy_keys, row->section, row->key) : NULL;

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
		cmocka_unit_test(test_rows_are_sound),
		cmocka_unit_test(test_every_setting_is_read),
		cmocka_unit_test(test_settings_without_effect),
		cmocka_unit_test(test_no_value_weakens),
		cmocka_unit_test(test_each_row_is_reached),
		cmocka_unit_test(test_settings_without_a_row),
		cmocka_unit_test(test_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
