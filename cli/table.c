/* Rows of a table: what they are called, and finding one. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

char *cli_option_spelling(const struct cli_option *o, char buf[CLI_SPELLING_MAX])
{
	snprintf(buf, CLI_SPELLING_MAX, "%s%s", o->name ? "--" : "", o->name ? o->name : o->argument);
	return buf;
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
