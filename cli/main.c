/* underlay: the table of commands and the way to one of them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

const struct cli_command *const cli_groups[] = {
	cli_manifest_commands, cli_db_commands,      cli_image_commands, cli_initrd_commands,     cli_uki_commands,
	cli_status_commands,   cli_remount_commands, cli_mark_commands,  cli_completion_commands, NULL,
};

static const struct cli_command *current;

const struct cli_command *cli_current(void)
{
	return current;
}

int cli_fail(const struct ul_error *err)
{
	char sentence[1200];

	cli_progress_done();
	fprintf(stderr, "underlay: %s\n", ul_error_sentence(err, sentence, sizeof(sentence)));
	return ul_code_exit_status(err->code);
}

static void print_usage(FILE *out, const struct cli_command *c)
{
	fprintf(out, "usage: underlay %s%s%s %s\n", c->group, c->name ? " " : "", c->name ? c->name : "", c->usage);
}

int cli_usage_error(const struct cli_command *command, const char *format, ...)
{
	va_list args;

	fputs("underlay: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	print_usage(stderr, command);
	return 2;
}

static void print_help(FILE *out)
{
	fputs("underlay: boot machines from sealed Nix stores\n\n", out);
	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++)
			fprintf(out, "  underlay %s %-*s %s\n", c->group, (int)(18 - strlen(c->group)),
				c->name ? c->name : "", c->help);
	fputs("\n`underlay COMMAND --help` tells the arguments; underlay(1) tells all.\n", out);
}

static const struct cli_command *find(int argc, char **argv, int *ret_skip, int *ret_known_group)
{
	for (size_t g = 0; cli_groups[g]; g++)
		for (const struct cli_command *c = cli_groups[g]; c->group; c++) {
			if (strcmp(argv[1], c->group) != 0)
				continue;
			*ret_known_group = 1;
			*ret_skip = c->name ? 2 : 1;
			if (!c->name || (argc > 2 && !strcmp(argv[2], c->name)))
				return c;
		}
	return NULL;
}

int main(int argc, char **argv)
{
	int skip = 0, known_group = 0;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("underlay " UL_VERSION);
		return 0;
	}
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	current = find(argc, argv, &skip, &known_group);
	if (!current) {
		fprintf(stderr, "underlay: there is no command \"%s%s%s\"; see underlay --help\n", argv[1],
			known_group && argc > 2 ? " " : "", known_group && argc > 2 ? argv[2] : "");
		return 2;
	}
	if (argc > skip + 1 && !strcmp(argv[skip + 1], "--help")) {
		print_usage(stdout, current);
		printf("%s\n", current->help);
		return 0;
	}
	return current->run(argc - skip, argv + skip);
}
