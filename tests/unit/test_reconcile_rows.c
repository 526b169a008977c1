/*
 * One list of odd rows through both modes, over the same lower and another one: each has the verdict that the list says
 * (tests/lib/odd_rows.tsv), and in both modes the same one, of the same name, for the same reason. And what one damaged
 * row must not do: refuse a new image.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/upper_help.h"

#define LIST "tests/lib/odd_rows.tsv"

struct odd {
	char title[100], verdict[40], over_other[40], sql[500];
};

/* What became of the row. */
struct outcome {
	char why[400]; /* "": the path is still valid */
	char name[400];
	bool stripped[3];
};

static const char *const columns[3] = {"deriver", "sigs", "ca"};

static const struct {
	const char *verdict, *why;
} reasons[] = {
	{"malformed", "Nix could not have written its row, or the row cannot be read"},
	{"missing", "neither the lower nor the upper has it"},
	{"reference", "it refers to a path that is not valid any more"},
	{"vanished", "it refers to a path that this lower does not have"},
};

static bool next_odd(FILE *list, struct odd *ret)
{
	char line[700];

	while (fgets(line, sizeof(line), list)) {
		char *at = line;
		const char *title = strsep(&at, "\t"), *sql;
		char *verdict = strsep(&at, "\t"), *other;

		sql = strsep(&at, "\n");

		if (line[0] == '#')
			continue;
		assert_non_null(sql);
		snprintf(ret->title, sizeof(ret->title), "%s", title);
		other = strchr(verdict, '/');
		if (other)
			*other++ = '\0';
		snprintf(ret->verdict, sizeof(ret->verdict), "%s", verdict);
		snprintf(ret->over_other, sizeof(ret->over_other), "%s", other ? other : verdict);
		snprintf(ret->sql, sizeof(ret->sql), "%s", sql);
		return true;
	}
	return false;
}

/* Put an id where the SQL has the word. */
static void put(char text[800], const char *word, const char *id)
{
	char before[800];
	const char *at = before, *found;

	snprintf(before, sizeof(before), "%s", text);
	for (*text = '\0'; (found = strstr(at, word)); at = found + strlen(word))
		snprintf(text + strlen(text), 800 - strlen(text), "%.*s%s", (int)(found - at), at, id);
	snprintf(text + strlen(text), 800 - strlen(text), "%s", at);
}

static void exec(const char *sql, const char *id)
{
	char text[800];

	snprintf(text, sizeof(text), "%s", sql);
	put(text, "THIS", id);
	put(text, "SEALED", upper_query("select id from ValidPaths where path like '%-p5'"));
	upper_exec(text);
}

/* The entry of p21 under the name that its row has now, where a directory can have such an entry. */
static void follow(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char from[500], to[1500];

	snprintf(from, sizeof(from), "%s/kept/%s", db_help_subdir(UPPER_NAME), upper_base(21));
	snprintf(to, sizeof(to), "%s/kept/%.255s", db_help_subdir(UPPER_NAME), base);
	/* What cannot be an entry's name is missing as well: another reason comes first. */
	if (*base && strlen(base) < 256 && link(from, to) < 0)
		assert_int_equal(errno, EEXIST);
}

static void read_outcome(const struct ul_reconcile_report *report, const char *path, struct outcome *ret)
{
	const char *base = strncmp(path, "/nix/store/", 11) == 0 && path[11] ? path + 11 : NULL;
	const struct ul_reconcile_item *items;
	const char *name = base && !strchr(base, '/') ? base : path;
	char sql[200];
	size_t n;

	*ret = (struct outcome){.why = ""};
	items = ul_reconcile_items(report, &n);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(items[i].name);

		/* Long names are cut. */
		if (items[i].action == UL_RECONCILE_INVALIDATED && !strncmp(items[i].name, name, len) &&
		    (len == strlen(name) || len >= 250)) {
			snprintf(ret->why, sizeof(ret->why), "%s", items[i].why);
			snprintf(ret->name, sizeof(ret->name), "%s", items[i].name);
		}
	}
	for (size_t i = 0; i < UL_ARRAY_SIZE(columns); i++) {
		snprintf(sql, sizeof(sql), "select %s is null from ValidPaths where registrationTime in (1021, -1)",
			 columns[i]);
		ret->stripped[i] = !strcmp(upper_query(sql), "1");
	}
}

static void run(struct upper_fixture *f, struct ul_manifest *lower, const struct odd *odd, enum ul_reconcile_mode mode,
		struct outcome *ret)
{
	const struct ul_reconcile_options always = {.check_always = true};
	struct ul_error err = {0};
	char sentence[1200], path[1000], sql[100], id[30];

	upper_make(UPPER_NAME);
	upper_fill(f, mode);
	snprintf(id, sizeof(id), "%s", upper_query("select id from ValidPaths where path like '%-p21'"));
	exec("update ValidPaths set deriver = '/nix/store/' || printf('%.*c', 32, '0') || '-d.drv', sigs = 'k:a k:b',"
	     " ca = 'text:sha256:x' where id = THIS",
	     id);
	exec(odd->sql, id);
	snprintf(sql, sizeof(sql), "select path from ValidPaths where id = %s", id);
	snprintf(path, sizeof(path), "%s", upper_query(sql));
	follow(path);
	if (!strncmp(odd->title, "no entry", 8)) {
		snprintf(sentence, sizeof(sentence), "rm kept/%s", upper_base(21));
		upper_run(UPPER_NAME, sentence);
	}
	ul_reconcile_report_free(&f->report);
	if (upper_reconcile(UPPER_NAME, lower, mode, &always, &f->report, &err) < 0)
		fail_msg("%s: %s", odd->title, ul_error_sentence(&err, sentence, sizeof(sentence)));
	read_outcome(&f->report, path, ret);
	snprintf(sql, sizeof(sql), "registrationTime in (1021, -1)");
	if ((*ret->why != '\0') != !strcmp(upper_count(sql), "0"))
		fail_msg("%s: reported \"%s\", but %s rows are there", odd->title, ret->why, upper_count(sql));
	db_help_assert_sound(upper_db(UPPER_NAME));
}

static bool is_as_listed(const char *verdict, const struct outcome *o)
{
	const char *why = "";
	bool right;

	for (size_t i = 0; i < UL_ARRAY_SIZE(reasons); i++)
		if (!strcmp(verdict, reasons[i].verdict))
			why = reasons[i].why;
	right = !strcmp(o->why, why);
	for (size_t i = 0; i < UL_ARRAY_SIZE(columns) && !*why; i++) {
		bool strip = !strncmp(verdict, "stripped ", 9) && !strcmp(verdict + 9, columns[i]);

		right &= o->stripped[i] == strip;
	}
	return right;
}

static bool is_right(struct upper_fixture *f, struct ul_manifest *lower, const struct odd *odd, const char *verdict)
{
	struct outcome attached, rebuilt;

	run(f, lower, odd, UL_RECONCILE_ATTACH, &attached);
	run(f, lower, odd, UL_RECONCILE_REBUILD, &rebuilt);
	if (is_as_listed(verdict, &attached) && is_as_listed(verdict, &rebuilt) && !strcmp(attached.name, rebuilt.name))
		return true;
	print_message("%s, over %s: %s wanted\n  attached: \"%s\" %s\n  rebuilt:  \"%s\" %s\n", odd->title,
		      lower == f->lower ? "the same lower" : "another", verdict, attached.why, attached.name,
		      rebuilt.why, rebuilt.name);
	return false;
}

static void odd_rows(void **state)
{
	struct upper_fixture *f = *state;
	ul_autofclose FILE *list = fopen(LIST, "re");
	unsigned int wrong = 0, n = 0;
	struct odd odd;

	assert_non_null(list);
	while (next_odd(list, &odd)) {
		n++;
		wrong += !is_right(f, f->lower, &odd, odd.verdict);
		wrong += !is_right(f, f->other, &odd, odd.over_other);
	}
	assert_true(n > 50);
	assert_int_equal(wrong, 0);
}

/* A damaged row goes; it is no reason to refuse a lower that lacks nothing which the upper needs. */
static void damaged_row_does_not_refuse(void **state)
{
	static const enum ul_reconcile_mode modes[] = {UL_RECONCILE_ATTACH, UL_RECONCILE_REBUILD};
	const struct ul_reconcile_options refuse = {.refuse = true};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(modes); i++) {
		struct ul_error err = {0};
		char sentence[1200];

		upper_make(UPPER_NAME);
		upper_fill(f, modes[i]);
		upper_exec("delete from Refs where referrer in (select id from ValidPaths where path like '%-p22' or"
			   " path like '%-p23');"
			   "delete from ValidPaths where path like '%-p22' or path like '%-p23';"
			   "update ValidPaths set hash = 'md5:xx' where path like '%-p21'");
		ul_reconcile_report_free(&f->report);
		if (upper_reconcile(UPPER_NAME, f->other, modes[i], &refuse, &f->report, &err) < 0)
			fail_msg("mode %zu: %s", i, ul_error_sentence(&err, sentence, sizeof(sentence)));
		assert_int_equal(upper_reported(&f->report, UL_RECONCILE_INVALIDATED, upper_base(21)), 1);
		assert_string_equal(upper_count("path like '%-p20'"), "1");
	}
}

/* The refusal counts in words that fit the number. */
static void refusal_counts(void **state)
{
	static const struct {
		const char *sql, *why;
	} rows[] = {
		{"delete from Refs where referrer = (select id from ValidPaths where path like '%-p23');"
		 "delete from ValidPaths where path like '%-p23'",
		 "it refers to a path that this lower does not have"},
		{"select 1", "it and 1 more path of the upper refer to paths that this lower does not have"},
		{"insert into Refs select (select id from ValidPaths where path like '%-p21'), id from ValidPaths"
		 " where path like '%-p22'",
		 "it and 2 more paths of the upper refer to paths that this lower does not have"},
	};
	static const enum ul_reconcile_mode modes[] = {UL_RECONCILE_ATTACH, UL_RECONCILE_REBUILD};
	const struct ul_reconcile_options refuse = {.refuse = true};
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(rows) * UL_ARRAY_SIZE(modes); i++) {
		enum ul_reconcile_mode mode = modes[i % UL_ARRAY_SIZE(modes)];
		struct ul_error err = {0};

		upper_make(UPPER_NAME);
		upper_fill(f, mode);
		upper_exec(rows[i / UL_ARRAY_SIZE(modes)].sql);
		ul_reconcile_report_free(&f->report);
		assert_int_equal(upper_reconcile(UPPER_NAME, f->other, mode, &refuse, &f->report, &err),
				 -UL_E_RECONCILE);
		assert_string_equal(err.why, rows[i / UL_ARRAY_SIZE(modes)].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(odd_rows, upper_setup, upper_teardown),
		cmocka_unit_test_setup_teardown(damaged_row_does_not_refuse, upper_setup, upper_teardown),
		cmocka_unit_test_setup_teardown(refusal_counts, upper_setup, upper_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
