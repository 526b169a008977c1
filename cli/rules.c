/* What is missing, and what options have to do with each other. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define NAMES_MAX 512

/* A list of spellings, "--a, --b and --c". */
struct names {
	char text[NAMES_MAX];
	size_t n, last; /* last: where the last name begins in text */
};

static void add_name(struct names *names, const struct cli_option *o)
{
	char spelling[CLI_SPELLING_MAX];
	size_t used = strlen(names->text);

	names->last = used + (names->n > 0 ? 2 : 0);
	snprintf(names->text + used, sizeof(names->text) - used, "%s%s", names->n > 0 ? ", " : "",
		 cli_option_spelling(o, spelling));
	names->n++;
}

/* Write the list to buf, with a word before the last name. Returns buf. */
static const char *join(const struct names *names, const char *word, char buf[NAMES_MAX])
{
	if (names->n < 2)
		snprintf(buf, NAMES_MAX, "%s", names->text);
	else
		snprintf(buf, NAMES_MAX, "%.*s %s %s", (int)names->last - 2, names->text, word,
			 names->text + names->last);
	return buf;
}

static bool complain(const struct cli_command *c, const struct cli_rule *rule, const struct names *names,
		     const char *word, const char *verb, int *ret_status)
{
	const char *hint = rule->hint;
	char buf[NAMES_MAX];

	*ret_status = cli_usage_error(c, "%s %s%s%s", join(names, word, buf), verb, hint ? ": " : "", hint ? hint : "");
	return false;
}

static bool holds(const struct cli_command *c, const struct cli_rule *rule, const bool *given, int *ret_status)
{
	struct names all = {.n = 0}, present = {.n = 0}, absent = {.n = 0};
	bool first = false;
	char buf[NAMES_MAX], missing[NAMES_MAX];

	for (const char *p = rule->members; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		const struct cli_option *o = cli_option_find(c, p, strcspn(p, " "));

		if (p == rule->members)
			first = given[o - c->options];
		add_name(&all, o);
		add_name(given[o - c->options] ? &present : &absent, o);
	}
	switch (rule->kind) {
	case CLI_AT_MOST_ONE:
	case CLI_EXACTLY_ONE:
		if (present.n > 1)
			return complain(c, rule, &present, "and", "exclude each other", ret_status);
		if (present.n == 0 && rule->kind == CLI_EXACTLY_ONE)
			return complain(c, rule, &all, "or", "is missing", ret_status);
		return true;
	case CLI_AT_LEAST_ONE:
		return present.n > 0 || complain(c, rule, &all, "or", "is missing", ret_status);
	case CLI_TOGETHER:
		if (present.n == 0 || absent.n == 0)
			return true;
		*ret_status = cli_usage_error(c, "%s belong together: %s %s missing", join(&all, "and", buf),
					      join(&absent, "and", missing), absent.n > 1 ? "are" : "is");
		return false;
	case CLI_NEEDS:
		if (!first || absent.n == 0)
			return true;
		*ret_status = cli_usage_error(c, "%.*s needs %s", (int)strcspn(rule->members, " "), rule->members,
					      join(&absent, "and", missing));
		return false;
	}
	return true;
}

bool cli_rules_hold(const struct cli_command *c, const bool *given, int *ret_status)
{
	struct names missing = {.n = 0};
	char buf[NAMES_MAX];

	for (const struct cli_option *o = c->options; o->help; o++)
		if ((o->flags & CLI_NEEDED) && !given[o - c->options])
			add_name(&missing, o);
	if (missing.n > 0) {
		*ret_status =
			cli_usage_error(c, "%s %s missing", join(&missing, "and", buf), missing.n > 1 ? "are" : "is");
		return false;
	}
	for (const struct cli_rule *rule = c->rules; rule && rule->members; rule++)
		if (!holds(c, rule, given, ret_status))
			return false;
	return true;
}
