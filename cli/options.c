/* The parser: argv into a subcommand's struct, by its table. */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/nearest.h"

#define ROWS_MAX 64

struct parser {
	const struct cli_command *command;
	char *arguments; /* the struct's bytes */
	char **argv;
	int argc, at;
	bool given[ROWS_MAX], help;
	const struct cli_option *bare; /* the last option that stood without the value that it may have */
	int behind_bare;               /* where in argv the word behind that one is */
};

/* ---- values ---- */

static bool is_word(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = words; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !memcmp(p, value, len))
			return true;
	return false;
}

/* "erofs or squashfs", "bash, fish or zsh". Returns buf. */
static const char *words_text(const char *words, char buf[CLI_LIST_MAX])
{
	struct cli_list list = {.n = 0};

	for (const char *p = words; *p; p += strcspn(p, "|"), p += *p == '|')
		cli_list_add(&list, p, strcspn(p, "|"));
	return cli_list_join(&list, "or", buf);
}

static int wrong_value(const struct parser *p, const struct cli_option *o, const char *value, const char *wanted)
{
	char name[CLI_SPELLING_MAX];

	return cli_usage_error(p->command, "%s: \"%s\" is not %s", cli_option_spelling(o, name), value, wanted);
}

static int take_number(const struct parser *p, const struct cli_option *o, const char *value)
{
	char wanted[96];
	uint64_t n;

	if (!ul_parse_number(value, &n) || n < o->min || n > o->max) {
		snprintf(wanted, sizeof(wanted), "a number from %llu to %llu", (unsigned long long)o->min,
			 (unsigned long long)o->max);
		return wrong_value(p, o, value, wanted);
	}
	if (o->kind == CLI_NUMBER)
		*(uint64_t *)(void *)(p->arguments + o->offset) = n;
	else
		*(uint32_t *)(void *)(p->arguments + o->offset) = (uint32_t)n;
	return 0;
}

static int take_text(const struct parser *p, const struct cli_option *o, const char *value)
{
	const char *wrong = o->check ? o->check(value) : NULL;
	void *to = p->arguments + o->offset;
	char words[CLI_LIST_MAX];

	if (o->kind == CLI_WORD && !is_word(o->argument, value))
		return wrong_value(p, o, value, words_text(o->argument, words));
	if (wrong)
		return wrong_value(p, o, value, wrong);
	if (!*value && (o->kind == CLI_FILE || o->kind == CLI_FILES || o->kind == CLI_DIRECTORY))
		return wrong_value(p, o, value,
				   o->kind == CLI_DIRECTORY ? "the name of a directory" : "the name of a file");
	if (!cli_option_is_list(o)) {
		*(const char **)to = value;
		return 0;
	}
	if (ul_vector_push((struct cli_texts *)to, value) < 0)
		return cli_usage_error(p->command, "out of memory");
	return 0;
}

/* 0 or the exit status. value: NULL for a flag. */
static int take(struct parser *p, const struct cli_option *o, const char *value)
{
	char name[CLI_SPELLING_MAX];
	bool *given = &p->given[o - p->command->options];

	if (*given && o->kind != CLI_FLAG && !cli_option_is_list(o))
		return cli_usage_error(p->command, "%s is given twice", cli_option_spelling(o, name));
	*given = true;
	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)(p->arguments + o->offset) = true;
		return 0;
	case CLI_NUMBER:
	case CLI_NUMBER32:
		return take_number(p, o, value);
	default:
		return take_text(p, o, value);
	}
}

/* ---- options ---- */

static int no_such_option(const struct parser *p, const char *typed, size_t len)
{
	char word[CLI_SPELLING_MAX], best[CLI_SPELLING_MAX] = "";
	struct ul_nearest nearest = {.word = word};

	snprintf(word, sizeof(word), "%.*s", (int)len, typed);
	for (const struct cli_option *o = p->command->options; o->help; o++)
		if (o->name)
			ul_nearest_offer(&nearest, o->name);
	ul_nearest_offer(&nearest, cli_help_row.name);
	if (nearest.best)
		snprintf(best, sizeof(best), "; did you mean \"--%s\"?", nearest.best);
	return cli_usage_error(p->command, "there is no option \"--%s\"%s", word, best);
}

static bool begins(const struct cli_option *o, const char *typed, size_t len)
{
	return o->name && len > 0 && strncmp(o->name, typed, len) == 0;
}

/* By its whole name, or by the beginning of one alone, as getopt_long(3) has it. *meant: what begins so. */
static const struct cli_option *find_long(const struct parser *p, const char *typed, size_t len, struct cli_list *meant)
{
	const struct cli_option *found = NULL;

	for (const struct cli_option *o = p->command->options; o->help; o++) {
		if (!begins(o, typed, len))
			continue;
		if (!o->name[len])
			return o;
		cli_list_add_option(meant, o);
		found = o;
	}
	if (begins(&cli_help_row, typed, len)) {
		cli_list_add_option(meant, &cli_help_row);
		found = &cli_help_row;
	}
	return meant->n == 1 ? found : NULL;
}

static int value_missing(const struct parser *p, const struct cli_option *o)
{
	char name[CLI_SPELLING_MAX], words[CLI_LIST_MAX];

	return cli_usage_error(p->command, "%s: %s is missing", cli_option_spelling(o, name),
			       o->kind == CLI_WORD ? words_text(o->argument, words) : o->argument);
}

/* What no option is: one that is misspelt, or begun like several. */
static int not_one_option(const struct parser *p, const char *typed, size_t len, const struct cli_list *meant)
{
	char names[CLI_LIST_MAX];

	if (meant->n < 2)
		return no_such_option(p, typed, len);
	return cli_usage_error(p->command, "--%.*s may be %s", (int)len, typed, cli_list_join(meant, "or", names));
}

static int take_long(struct parser *p, const char *typed)
{
	size_t len = strcspn(typed, "=");
	const char *value = typed[len] ? typed + len + 1 : NULL;
	struct cli_list meant = {.n = 0};
	const struct cli_option *o = find_long(p, typed, len, &meant);

	if (!o)
		return not_one_option(p, typed, len, &meant);
	if (o->kind == CLI_FLAG && value)
		return cli_usage_error(p->command, "--%s takes no value", o->name);
	if (o == &cli_help_row) {
		p->help = true;
		return 0;
	}
	if (o->kind == CLI_FLAG)
		return take(p, o, NULL);
	if (!value && o->bare) {
		value = o->bare;
		p->bare = o;
		p->behind_bare = p->at;
	} else if (!value && p->at == p->argc) {
		return value_missing(p, o);
	} else if (!value) {
		value = p->argv[p->at++];
	}
	return take(p, o, value);
}

/* "-v", "-j4", "-j 4", and flags in one word. */
static int take_letters(struct parser *p, const char *letters)
{
	int status = 0;

	for (const char *l = letters; status == 0 && *l && !p->help; l++) {
		const struct cli_option *o = p->command->options;

		while (o->help && o->letter != *l)
			o++;
		if (!o->help && *l == 'h') {
			p->help = true;
		} else if (!o->help) {
			status = cli_usage_error(p->command, "there is no option \"-%c\"", *l);
		} else if (o->kind == CLI_FLAG) {
			status = take(p, o, NULL);
		} else if (l[1]) {
			return take(p, o, l + 1);
		} else if (p->at == p->argc) {
			status = value_missing(p, o);
		} else {
			status = take(p, o, p->argv[p->at++]);
		}
	}
	return status;
}

/* ---- arguments ---- */

/* The first positional row that has room. */
static int take_argument(struct parser *p, const char *value)
{
	for (const struct cli_option *o = p->command->options; o->help; o++)
		if (!o->name && (cli_option_is_list(o) || !p->given[o - p->command->options]))
			return take(p, o, value);
	if (p->bare && p->at - 1 == p->behind_bare)
		return cli_usage_error(p->command,
				       "\"%s\" is one argument too many: a value of --%s is written --%s=%s", value,
				       p->bare->name, p->bare->name, value);
	return cli_usage_error(p->command, "\"%s\" is one argument too many", value);
}

static int set_defaults(struct parser *p)
{
	int status = 0;

	for (const struct cli_option *o = p->command->options; status == 0 && o->help; o++)
		if (o->def)
			status = take(p, o, o->def);
	memset(p->given, 0, sizeof(p->given));
	return status;
}

static int parse(struct parser *p)
{
	int status = set_defaults(p);
	bool only_arguments = false;

	while (status == 0 && !p->help && p->at < p->argc) {
		const char *word = p->argv[p->at++];

		if (only_arguments || word[0] != '-' || !word[1])
			status = take_argument(p, word);
		else if (!strcmp(word, "--"))
			only_arguments = true;
		else if (word[1] == '-')
			status = take_long(p, word + 2);
		else
			status = take_letters(p, word + 1);
	}
	return status;
}

bool cli_options_parse(const struct cli_command *command, int argc, char **argv, void *arguments, int *ret_status)
{
	struct parser p = {.command = command, .arguments = arguments, .argc = argc, .argv = argv, .at = 1};

	*ret_status = parse(&p);
	if (*ret_status)
		return false;
	if (p.help) {
		cli_print_help(command);
		return false;
	}
	return cli_rules_hold(command, p.given, ret_status);
}

void cli_options_free(const struct cli_command *command, void *arguments)
{
	for (const struct cli_option *o = command->options; o->help; o++)
		if (cli_option_is_list(o))
			ul_vector_free((struct cli_texts *)(void *)((char *)arguments + o->offset));
}
