/*
 * `underlay completion`: a completion script for a shell, written from the table of commands itself, so
 * that it cannot be out of date. Options are the words of the usage text that begin with "--".
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

/* Print every long option that a usage text names, each once, separated by spaces. */
static void print_options(const char *usage)
{
	for (const char *p = strstr(usage, "--"); p; p = strstr(p + 2, "--")) {
		size_t len = 2;

		while (islower((unsigned char)p[len]) || p[len] == '-')
			len++;
		printf("%.*s ", (int)len, p);
	}
	fputs("--help", stdout);
}

static void print_groups(void)
{
	const char *last = "";

	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++)
			if (strcmp(c->group, last) != 0) {
				printf("%s%s", *last ? " " : "", c->group);
				last = c->group;
			}
}

static void print_subcommands(const char *group)
{
	const char *space = "";

	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++)
			if (!strcmp(c->group, group) && c->name) {
				printf("%s%s", space, c->name);
				space = " ";
			}
}

static void print_bash(void)
{
	fputs("_underlay() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	      "\tcase \"$COMP_CWORD ${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n\t\"1 \"*) words='",
	      stdout);
	print_groups();
	fputs("' ;;\n", stdout);
	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++) {
			const char *name = c->name ? c->name : "";
			/* Before a group's first subcommand: the row that completes its name. */
			if (c->name && c == cli_groups[g]) {
				printf("\t\"2 %s \"*) words='", c->group);
				print_subcommands(c->group);
				fputs("' ;;\n", stdout);
			}
			printf("\t*\" %s %s\"%s) words='", c->group, name, c->name ? "" : "*");
			print_options(c->usage);
			fputs("' ;;\n", stdout);
		}
	fputs("\tesac\n\tif [[ $COMP_CWORD -le 2 || $cur == -* ]]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n\tfi\n}\n"
	      "complete -o default -F _underlay underlay\n",
	      stdout);
}

static void print_fish(void)
{
	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++) {
			printf("complete -c underlay -n __fish_use_subcommand -xa %s -d '%s'\n", c->group,
			       c->name ? c->group : c->help);
			if (c->name)
				printf("complete -c underlay -n '__fish_seen_subcommand_from %s' "
				       "-a %s -d '%s'\n",
				       c->group, c->name, c->help);
			for (const char *p = strstr(c->usage, "--"); p; p = strstr(p + 2, "--")) {
				size_t len = 2;

				while (islower((unsigned char)p[len]) || p[len] == '-')
					len++;
				printf("complete -c underlay -n '__fish_seen_subcommand_from %s", c->group);
				if (c->name)
					printf("; and __fish_seen_subcommand_from %s", c->name);
				printf("' -l %.*s\n", (int)len - 2, p + 2);
			}
		}
}

/* zsh reads bash's completions by its own bashcompinit. */
static void print_zsh(void)
{
	fputs("#compdef underlay\nautoload -U +X bashcompinit && bashcompinit\n", stdout);
	print_bash();
}

static int completion(int argc, char **argv)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {{"bash", print_bash}, {"fish", print_fish}, {"zsh", print_zsh}};

	for (size_t i = 0; argc == 2 && i < UL_ARRAY_SIZE(shells); i++)
		if (!strcmp(argv[1], shells[i].shell)) {
			shells[i].print();
			return 0;
		}
	return cli_usage_error(cli_current(), "name one shell: bash, fish or zsh");
}

const struct cli_command cli_completion_commands[] = {
	{"completion", NULL, "bash|fish|zsh", "print a shell's completion script", completion},
	{NULL, NULL, NULL, NULL, NULL},
};
