/* underlay: the table of commands and the way to one of them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/nearest.h"

#define WORD_MAX 512 /* bytes that are shown of a word that is not ours */

static const struct cli_command completion_command;

static const struct cli_command *const manifest[] = {
	&cli_manifest_create, &cli_manifest_show, &cli_manifest_export, &cli_manifest_check, NULL,
};
static const struct cli_command *const db[] = {&cli_db_build, &cli_db_compare, &cli_db_reconcile, NULL};
static const struct cli_command *const image[] = {
	&cli_image_build,
	&cli_image_sign,
	&cli_image_inspect,
	&cli_image_verify,
	&cli_image_locate,
	&cli_image_split,
	NULL,
};
static const struct cli_command *const initrd[] = {&cli_initrd_build, NULL};
static const struct cli_command *const uki[] = {&cli_uki_build, &cli_uki_sign, &cli_uki_inspect, NULL};
static const struct cli_command *const disk[] = {&cli_disk_build, &cli_disk_show, NULL};
static const struct cli_command *const machines[] = {&cli_install, NULL};
static const struct cli_command *const here[] = {&cli_run, NULL};
static const struct cli_command *const others[] = {
	&cli_status, &cli_timeline, &cli_update,     &cli_slots,          &cli_rollback, &cli_mark_good,
	&cli_gc,     &cli_remount,  &cli_mark_clean, &completion_command, NULL,
};

/* In the order of the help; ended by a row without commands. */
static const struct cli_group groups[] = {
	{"manifest", "the list of a store's paths with all that Nix knows of them", manifest},
	{"db", "Nix's database from a manifest, and an upper's that agrees with an image", db},
	{"image", "store images", image},
	{"initrd", "the initramfs that boots them", initrd},
	{"uki", "the one signed file that UEFI firmware starts", uki},
	{"disk", "a whole disk that boots by itself", disk},
	{NULL, "on a machine's own disk", machines},
	{NULL, "in a virtual machine", here},
	{NULL, "on the machine that was booted", others},
	{NULL, NULL, NULL},
};

/* ---- completion, whose table is the table of all ---- */

struct completion {
	const char *shell;
};

static int run_completion(void *arguments)
{
	const struct completion *a = arguments;

	return cli_completion(a->shell, groups);
}

static const struct cli_option completion_options[] = {
	{NULL, 0, "bash|fish|zsh|json", CLI_WORD, offsetof(struct completion, shell), CLI_NEEDED, .called = "SHELL",
	 .help = "the shell; json prints the tables of commands and options themselves"},
	{.help = NULL},
};

static const struct cli_command completion_command = {
	.name = "completion",
	.help = "print a shell's completion script",
	.page = "underlay",
	.options = completion_options,
	.size = sizeof(struct completion),
	.run = run_completion,
};

/* ---- help ---- */

static void print_commands(FILE *out, const struct cli_group *group)
{
	for (const struct cli_command *const *c = group->commands; *c; c++) {
		fprintf(out, "  %s%s%-*s ", group->name ? group->name : "", group->name ? " " : "",
			17 - (int)(group->name ? strlen(group->name) + 1 : 0), (*c)->name);
		cli_print_wrapped(out, 20, (*c)->help);
	}
}

static void print_help(FILE *out)
{
	fputs("underlay: boot machines from sealed Nix stores\n\nusage: underlay COMMAND [ARGUMENT]...\n", out);
	for (const struct cli_group *g = groups; g->commands; g++) {
		fprintf(out, "\n%c%s:\n", toupper((unsigned char)g->help[0]), g->help + 1);
		print_commands(out, g);
	}
	fputs("\n`underlay COMMAND --help` tells the arguments; underlay(1) tells all.\n", out);
}

static void print_group_help(FILE *out, const struct cli_group *g)
{
	fprintf(out, "underlay %s: %s\n\nusage: underlay %s SUBCOMMAND [ARGUMENT]...\n\n", g->name, g->help, g->name);
	print_commands(out, g);
	fprintf(out, "\n`underlay %s SUBCOMMAND --help` tells the arguments. See %s(1).\n", g->name,
		g->commands[0]->page);
}

/* "--help", or as far as it is typed. */
static bool is_begun(const char *option, const char *word)
{
	return strlen(word) > 2 && !strncmp(option, word, strlen(word));
}

static bool is_help(const char *word)
{
	return !strcmp(word, "-h") || is_begun("--help", word);
}

/* ---- the way to a command ---- */

/* What is no command, no subcommand of g or no option where one of these belongs. */
static int no_such(const struct cli_group *g, const char *word)
{
	struct ul_nearest nearest = {.word = word};
	bool is_option = word[0] == '-';
	char shown[WORD_MAX];
	const char *title = g ? g->name : "", *space = g ? " " : "";

	for (const struct cli_group *other = groups; !g && other->commands; other++)
		if (other->name)
			ul_nearest_offer(&nearest, other->name);
	for (const struct cli_group *each = groups; each->commands; each++)
		for (const struct cli_command *const *c = each->commands; *c; c++)
			if (each == g || (!g && !each->name))
				ul_nearest_offer(&nearest, (*c)->name);
	if (!g)
		ul_nearest_offer(&nearest, is_option ? "--version" : "help");
	if (is_option)
		ul_nearest_offer(&nearest, "--help");
	ul_escape_text(shown, sizeof(shown), word);
	fprintf(stderr, "underlay%s%s: there is no %s \"%s\"", space, title,
		is_option ? "option"
		: g       ? "subcommand"
			  : "command",
		shown);
	if (nearest.best)
		fprintf(stderr, "; did you mean \"%s\"?\n", nearest.best);
	else
		fprintf(stderr, "; see `underlay%s%s --help`\n", space, title);
	return 2;
}

static int too_many(const char *title, const char *word)
{
	char shown[WORD_MAX];

	ul_escape_text(shown, sizeof(shown), word);
	fprintf(stderr, "%s: \"%s\" is one argument too many\n", title, shown);
	return 2;
}

static const struct cli_command *find(const struct cli_group *g, const char *name)
{
	for (const struct cli_command *const *c = g->commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int run(const struct cli_command *c, int argc, char **argv)
{
	ul_autofree void *arguments = calloc(1, c->size);
	int status = 3;

	if (!arguments) {
		fputs("underlay: out of memory\n", stderr);
		return status;
	}
	if (cli_options_parse(c, argc, argv, arguments, &status))
		status = c->run(arguments);
	cli_options_free(c, arguments);
	return status;
}

/* argv[0] is the name of what argv[1] belongs to. "--" ends the options, of which none came. */
static void pass_dashes(int *argc, char ***argv)
{
	if (*argc > 1 && !strcmp((*argv)[1], "--")) {
		++*argv;
		--*argc;
	}
}

/* argv[0] is the group's name. */
static int run_group(const struct cli_group *g, int argc, char **argv)
{
	const struct cli_command *c;

	pass_dashes(&argc, &argv);
	c = argc > 1 ? find(g, argv[1]) : NULL;
	if (c)
		return run(c, argc - 1, argv + 1);
	if (argc > 1 && !is_help(argv[1]))
		return no_such(g, argv[1]);
	print_group_help(argc > 1 ? stdout : stderr, g);
	return argc > 1 ? 0 : 2;
}

static const struct cli_group *find_group(const char *name)
{
	for (const struct cli_group *g = groups; g->commands; g++)
		if (g->name && !strcmp(g->name, name))
			return g;
	return NULL;
}

/* argv[0] is the command's name. */
static int dispatch(int argc, char **argv)
{
	const struct cli_group *group = find_group(argv[0]);

	if (group)
		return run_group(group, argc, argv);
	for (const struct cli_group *g = groups; g->commands; g++) {
		const struct cli_command *c = g->name ? NULL : find(g, argv[0]);

		if (c)
			return run(c, argc, argv);
	}
	return no_such(NULL, argv[0]);
}

/* `underlay help image build` is `underlay image build --help`. argv[0] is "help", which may stand for itself. */
static int help(int argc, char **argv)
{
	char option[] = "--help";
	char *words[] = {NULL, option, option};
	int n = 0, most = argc > 1 && find_group(argv[1]) ? 2 : 1;

	while (1 + n < argc && !is_help(argv[1 + n])) {
		if (n == most)
			return too_many("underlay help", argv[1 + n]);
		words[n] = argv[1 + n];
		n++;
	}
	if (n == 0 || !strcmp(words[0], "help")) {
		print_help(stdout);
		return 0;
	}
	return words[0][0] == '-' ? too_many("underlay help", words[0]) : dispatch(n + 1, words);
}

static int start(int argc, char **argv)
{
	pass_dashes(&argc, &argv);
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	if (is_help(argv[1])) {
		print_help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "help"))
		return help(argc - 1, argv + 1);
	if (is_begun("--version", argv[1])) {
		if (argc > 2)
			return too_many("underlay --version", argv[2]);
		puts("underlay " UL_VERSION);
		return 0;
	}
	return dispatch(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	cli_start();
	return cli_end(start(argc, argv));
}
