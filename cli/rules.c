/* What is missing, and what options have to do with each other. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* The members of a rule. */
struct members {
	struct cli_list all, present, absent;
	const struct cli_option *first;
	bool first_given;
};

static void sort(const struct cli_command *c, const struct cli_rule *rule, const bool *given, struct members *ret)
{
	*ret = (struct members){.first = NULL};
	for (const char *p = rule->members; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		const struct cli_option *o = cli_option_find(c, p, strcspn(p, " "));
		bool here = given[o - c->options];

		if (!ret->first) {
			ret->first = o;
			ret->first_given = here;
		}
		cli_list_add_option(&ret->all, o);
		cli_list_add_option(here ? &ret->present : &ret->absent, o);
	}
}

/* ---- what is missing ---- */

static bool is_alternative(const struct cli_rule *rule)
{
	return rule->kind == CLI_EXACTLY_ONE || rule->kind == CLI_AT_LEAST_ONE;
}

/* All at once, so that one more try is enough: "--output and (--modules-dir or --no-modules) are missing". */
static bool is_complete(const struct cli_command *c, const bool *given, int *ret_status)
{
	struct cli_list missing = {.n = 0};
	const struct cli_rule *last = NULL;
	char text[CLI_LIST_MAX], group[CLI_LIST_MAX + 2];
	struct members m;

	for (const struct cli_option *o = c->options; o->help; o++)
		if ((o->flags & CLI_NEEDED) && !given[o - c->options])
			cli_list_add_option(&missing, o);
	for (const struct cli_rule *rule = c->rules; rule && rule->members; rule++) {
		if (!is_alternative(rule))
			continue;
		sort(c, rule, given, &m);
		if (m.present.n > 0)
			continue;
		last = rule;
		snprintf(group, sizeof(group), "(%s)", cli_list_join(&m.all, "or", text));
		cli_list_add(&missing, group, strlen(group));
	}
	if (missing.n == 0)
		return true;
	cli_list_join(&missing, "and", text);
	if (missing.n == 1 && last)
		*ret_status = cli_usage_error(c, "%.*s is missing%s%s", (int)strlen(text) - 2, text + 1,
					      last->hint ? ": " : "", last->hint ? last->hint : "");
	else
		*ret_status = cli_usage_error(c, "%s %s missing", text, missing.n > 1 ? "are" : "is");
	return false;
}

/* ---- what does not go together, or not alone ---- */

static bool exclude(const struct cli_command *c, const struct cli_rule *rule, const struct cli_list *present,
		    int *ret_status)
{
	char text[CLI_LIST_MAX];

	*ret_status = cli_usage_error(c, "%s exclude each other%s%s", cli_list_join(present, "and", text),
				      rule->hint ? ": " : "", rule->hint ? rule->hint : "");
	return false;
}

static bool need(const struct cli_command *c, const struct cli_rule *rule, const struct cli_list *present,
		 const struct cli_list *absent, int *ret_status)
{
	char need[CLI_LIST_MAX], text[CLI_LIST_MAX];

	*ret_status = cli_usage_error(c, "%s %s missing: %s %s %s%s%s", cli_list_join(absent, "and", text),
				      absent->n > 1 ? "are" : "is", cli_list_join(present, "and", need),
				      present->n > 1 ? "need" : "needs", absent->n > 1 ? "them" : "it",
				      rule->hint ? "; " : "", rule->hint ? rule->hint : "");
	return false;
}

static bool holds(const struct cli_command *c, const struct cli_rule *rule, const bool *given, int *ret_status)
{
	struct cli_list first = {.n = 0};
	struct members m;

	sort(c, rule, given, &m);
	switch (rule->kind) {
	case CLI_AT_MOST_ONE:
	case CLI_EXACTLY_ONE:
		return m.present.n < 2 || exclude(c, rule, &m.present, ret_status);
	case CLI_AT_LEAST_ONE:
		return true;
	case CLI_TOGETHER:
		return m.present.n == 0 || m.absent.n == 0 || need(c, rule, &m.present, &m.absent, ret_status);
	case CLI_NEEDS:
		cli_list_add_option(&first, m.first);
		return !m.first_given || m.absent.n == 0 || need(c, rule, &first, &m.absent, ret_status);
	}
	return true;
}

bool cli_rules_hold(const struct cli_command *c, const bool *given, int *ret_status)
{
	if (!is_complete(c, given, ret_status))
		return false;
	for (const struct cli_rule *rule = c->rules; rule && rule->members; rule++)
		if (!holds(c, rule, given, ret_status))
			return false;
	return true;
}
