/* Rows of a table: what they are called, alone and in a list, and finding one. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/config.h"

char *cli_option_spelling(const struct cli_option *o, char buf[CLI_SPELLING_MAX])
{
	snprintf(buf, CLI_SPELLING_MAX, "%s%s", o->name ? "--" : "",
		 o->name     ? o->name
		 : o->called ? o->called
			     : o->argument);
	return buf;
}

void cli_list_add(struct cli_list *list, const char *word, size_t len)
{
	size_t used = strlen(list->text);

	list->last = used + (list->n > 0 ? 2 : 0);
	snprintf(list->text + used, sizeof(list->text) - used, "%s%.*s", list->n > 0 ? ", " : "", (int)len, word);
	list->n++;
}

void cli_list_add_option(struct cli_list *list, const struct cli_option *o)
{
	char spelling[CLI_SPELLING_MAX];

	cli_option_spelling(o, spelling);
	cli_list_add(list, spelling, strlen(spelling));
}

const char *cli_list_join(const struct cli_list *list, const char *conjunction, char buf[CLI_LIST_MAX])
{
	if (list->n < 2)
		snprintf(buf, CLI_LIST_MAX, "%s", list->text);
	else
		snprintf(buf, CLI_LIST_MAX, "%.*s %s %s", (int)list->last - 2, list->text, conjunction,
			 list->text + list->last);
	return buf;
}

uint32_t cli_sector_size(const char *word)
{
	return strcmp(word, "4096") ? 512 : 4096;
}

const char *cli_check_size(const char *text)
{
	uint64_t size;

	return ul_parse_size(text, &size) ? NULL : "a size, as in 512M or 8G";
}

const char *cli_check_absolute(const char *text)
{
	return *text == '/' ? NULL : "an absolute path";
}

bool cli_option_is_list(const struct cli_option *o)
{
	return o->kind == CLI_TEXTS || o->kind == CLI_FILES;
}

const struct cli_option *cli_option_find(const struct cli_command *command, const char *spelling, size_t len)
{
	char buf[CLI_SPELLING_MAX];

	for (const struct cli_option *o = command->options; o->help; o++)
		if (strlen(cli_option_spelling(o, buf)) == len && !memcmp(buf, spelling, len))
			return o;
	return NULL;
}
