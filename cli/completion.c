/*
 * `underlay completion`: a completion script for a shell, or the tables as JSON. Written from the tables themselves, so
 * that it is always up to date.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/json.h"

/* What a shell should offer for a value. */
enum offer { OFFER_NOTHING, OFFER_FILES, OFFER_DIRECTORIES, OFFER_WORDS };

static enum offer offer_of(const struct cli_option *o)
{
	switch (o->kind) {
	case CLI_FILE:
	case CLI_FILES:
		return OFFER_FILES;
	case CLI_DIRECTORY:
		return OFFER_DIRECTORIES;
	case CLI_WORD:
		return OFFER_WORDS;
	default:
		return OFFER_NOTHING;
	}
}

/* "erofs|squashfs" as "erofs squashfs". */
static void print_words(const char *words)
{
	for (const char *p = words; *p; p++)
		putchar(*p == '|' ? ' ' : *p);
}

/* Within single quotes; `also` names characters that want a backslash there. */
static void print_quoted(const char *text, const char *also, const char *quote)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\'')
			fputs(quote, stdout);
		else
			printf("%s%c", strchr(also, *p) ? "\\" : "", *p);
	}
}

/* What `help` is for, which is in no table. */
#define HELP_HELP "tell a command's arguments"

/* ---- bash ---- */

static void bash_words_of(const struct cli_group *groups, const struct cli_group *only)
{
	const char *space = "";

	for (const struct cli_group *g = groups; g->commands; g++) {
		if (only && g != only)
			continue;
		if (!only && g->name)
			printf("%s%s", space, g->name);
		for (const struct cli_command *const *c = g->commands; (only || !g->name) && *c; c++) {
			printf("%s%s", space, (*c)->name);
			space = " ";
		}
		space = " ";
	}
}

static void bash_value(const struct cli_option *o)
{
	fputs("\t\t", stdout);
	if (o->name)
		printf("--%s", o->name);
	if (o->letter)
		printf(" | -%c", o->letter);
	switch (offer_of(o)) {
	case OFFER_WORDS:
		fputs(") words='", stdout);
		print_words(o->argument);
		puts("' ;;");
		break;
	case OFFER_DIRECTORIES:
		puts(") offer=directories ;;");
		break;
	case OFFER_FILES:
		puts(") offer=files ;;");
		break;
	case OFFER_NOTHING:
		puts(") offer=nothing ;;");
		break;
	}
}

static void bash_command(const struct cli_command *c)
{
	printf("\t\"%s%s%s\")\n\t\toptions='", c->group ? c->group : c->name, " ", c->group ? c->name : "");
	for (const struct cli_option *o = c->options; o->help; o++)
		if (o->name)
			printf("--%s ", o->name);
	puts("--help'");
	for (const struct cli_option *o = c->options; o->help; o++)
		if (!o->name && offer_of(o) == OFFER_WORDS) {
			fputs("\t\targuments='", stdout);
			print_words(o->argument);
			puts("'");
		}
	puts("\t\tcase $prev in");
	for (const struct cli_option *o = c->options; o->help; o++)
		if (o->name && o->argument && !o->bare)
			bash_value(o);
	puts("\t\tesac ;;");
}

static void print_bash(const struct cli_group *groups)
{
	puts("_underlay() {\n"
	     "\tlocal -a line=(\"${COMP_WORDS[@]}\")\n"
	     "\tlocal at=$COMP_CWORD help= subcommand= options= arguments= words= offer=\n"
	     "\t# What follows `help` are the names that would stand without it.\n"
	     "\tif [[ ${line[1]} == help ]] && ((at > 1)); then\n"
	     "\t\thelp=1 line=(\"${line[0]}\" \"${line[@]:2}\") at=$((at - 1))\n"
	     "\tfi\n"
	     "\tlocal command=${line[1]} cur=${line[at]} prev=${line[at - 1]}\n"
	     "\t# --option=VALUE is three words here.\n"
	     "\tif [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${line[at - 2]}; fi\n"
	     "\tCOMPREPLY=()\n"
	     "\tif ((at == 1)); then");
	fputs("\t\twords='", stdout);
	bash_words_of(groups, NULL);
	puts("'\n\t\t[[ $help ]] || words+=' help --help --version'\n\telse\n\t\tcase $command in");
	for (const struct cli_group *g = groups; g->commands; g++)
		if (g->name) {
			printf("\t\t%s) subcommand=${line[2]}; ((at > 2)) || words='", g->name);
			bash_words_of(groups, g);
			puts("' ;;");
		}
	puts("\t\tesac\n"
	     "\t\t[[ $help || ! $words ]] || words+=' --help'\n"
	     "\t\t[[ ! $help ]] || offer=nothing\n"
	     "\tfi\n"
	     "\t[[ $words || $offer ]] || case \"$command $subcommand\" in");
	for (const struct cli_group *g = groups; g->commands; g++)
		for (const struct cli_command *const *c = g->commands; *c; c++)
			bash_command(*c);
	puts("\tesac\n"
	     "\tif [[ ! $words && ! $offer ]]; then\n"
	     "\t\tif [[ $cur == -* ]]; then words=$options; else words=$arguments; fi\n"
	     "\tfi\n"
	     "\tif [[ $words ]]; then\n"
	     "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "\telif [[ $offer == directories ]]; then\n"
	     "\t\tcompopt -o dirnames +o default\n"
	     "\telif [[ $offer == nothing ]]; then\n"
	     "\t\tcompopt +o default\n"
	     "\tfi\n"
	     "}\n"
	     "complete -o default -F _underlay underlay");
}

/* ---- fish ---- */

static void fish_option(const struct cli_command *c, const struct cli_option *o)
{
	printf("complete -c underlay -n 'not __fish_seen_subcommand_from help; and __fish_seen_subcommand_from %s",
	       c->group ? c->group : c->name);
	if (c->group)
		printf("; and __fish_seen_subcommand_from %s", c->name);
	printf("'");
	if (o->name)
		printf(" -l %s", o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->argument && !o->bare)
		switch (offer_of(o)) {
		case OFFER_WORDS:
			fputs(" -xa '", stdout);
			print_words(o->argument);
			putchar('\'');
			break;
		case OFFER_DIRECTORIES:
			fputs(" -xa '(__fish_complete_directories)'", stdout);
			break;
		case OFFER_FILES:
			fputs(" -rF", stdout);
			break;
		case OFFER_NOTHING:
			fputs(" -x", stdout);
			break;
		}
	fputs(" -d '", stdout);
	print_quoted(o->help, "\\", "\\'");
	puts("'");
}

static void fish_command(const struct cli_command *c)
{
	if (c->group)
		printf("complete -c underlay -n '__fish_seen_subcommand_from %s; and not "
		       "__fish_seen_subcommand_from $__underlay_%s' -fa %s -d '",
		       c->group, c->group, c->name);
	else
		printf("complete -c underlay -n __underlay_wants_command -xa %s -d '", c->name);
	print_quoted(c->help, "\\", "\\'");
	puts("'");
	for (const struct cli_option *o = c->options; o->help; o++)
		if (o->name || offer_of(o) == OFFER_WORDS)
			fish_option(c, o);
}

static void print_fish(const struct cli_group *groups)
{
	puts("# The first word is to come, or the one that follows `help`.\n"
	     "function __underlay_wants_command\n"
	     "\tset -l words (commandline -opc)\n"
	     "\ttest (count $words) -eq 1; and return\n"
	     "\ttest (count $words) -eq 2; and test $words[2] = help\n"
	     "end");
	fputs("complete -c underlay -n __fish_use_subcommand -xa help -d '", stdout);
	print_quoted(HELP_HELP, "\\", "\\'");
	puts("'");
	for (const struct cli_group *g = groups; g->commands; g++) {
		if (g->name) {
			printf("set -g __underlay_%s", g->name);
			for (const struct cli_command *const *c = g->commands; *c; c++)
				printf(" %s", (*c)->name);
			printf("\ncomplete -c underlay -n __underlay_wants_command -xa %s -d '", g->name);
			print_quoted(g->help, "\\", "\\'");
			puts("'");
		}
		for (const struct cli_command *const *c = g->commands; *c; c++)
			fish_command(*c);
	}
}

/* ---- zsh ---- */

#define ZSH_QUOTE "'\\''"

static void zsh_offer(const struct cli_option *o)
{
	putchar(':');
	print_quoted(o->kind == CLI_WORD ? "word" : o->argument, ":[]", ZSH_QUOTE);
	putchar(':');
	switch (offer_of(o)) {
	case OFFER_WORDS:
		putchar('(');
		print_words(o->argument);
		putchar(')');
		break;
	case OFFER_DIRECTORIES:
		fputs("_files -/", stdout);
		break;
	case OFFER_FILES:
		fputs("_files", stdout);
		break;
	case OFFER_NOTHING:
		putchar(' ');
		break;
	}
}

static void zsh_option(const struct cli_option *o)
{
	fputs(" \\\n\t\t\t\t", stdout);
	if (!o->name) {
		printf("'%s%s", cli_option_is_list(o) ? "*" : "", o->flags & CLI_NEEDED ? "" : ":");
		zsh_offer(o);
		putchar('\'');
		return;
	}
	if (o->letter && o->argument)
		printf("'(-%c --%s)'{-%c+,--%s=}'[", o->letter, o->name, o->letter, o->name);
	else if (o->letter)
		printf("'(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter, o->name);
	else
		printf("'%s--%s%s[", cli_option_is_list(o) ? "*" : "", o->name,
		       !o->argument ? ""
		       : o->bare    ? "=-"
				    : "=");
	print_quoted(o->help, "[]:\\", ZSH_QUOTE);
	putchar(']');
	if (o->bare)
		putchar(':');
	if (o->argument)
		zsh_offer(o);
	putchar('\'');
}

static void zsh_arguments(const struct cli_command *c)
{
	fputs("_arguments -s", stdout);
	for (const struct cli_option *o = c->options; o->help; o++)
		zsh_option(o);
	fputs(" \\\n\t\t\t\t'(- *)'{-h,--help}'[print this]'", stdout);
}

static void zsh_described(const char *name, const char *help)
{
	printf(" '%s:", name);
	print_quoted(help, "\\", ZSH_QUOTE);
	putchar('\'');
}

static void zsh_group(const struct cli_group *g)
{
	if (!g->name) {
		for (const struct cli_command *const *c = g->commands; *c; c++) {
			printf("\t%s) [[ -z $help ]] || return; shift words; ((CURRENT--)); ", (*c)->name);
			zsh_arguments(*c);
			puts(" ;;");
		}
		return;
	}
	printf("\t%s)\n\t\tif ((CURRENT == 3)); then\n\t\t\tnames=(", g->name);
	for (const struct cli_command *const *c = g->commands; *c; c++)
		zsh_described((*c)->name, (*c)->help);
	puts(")\n\t\t\t_describe subcommand names\n\t\t\treturn\n\t\tfi\n"
	     "\t\t[[ -z $help ]] || return\n"
	     "\t\tshift 2 words; ((CURRENT -= 2))\n\t\tcase $words[1] in");
	for (const struct cli_command *const *c = g->commands; *c; c++) {
		printf("\t\t%s) ", (*c)->name);
		zsh_arguments(*c);
		puts(" ;;");
	}
	puts("\t\tesac ;;");
}

static void print_zsh(const struct cli_group *groups)
{
	fputs("#compdef underlay\n"
	      "_underlay() {\n"
	      "\tlocal -a names\n"
	      "\tlocal help=\n"
	      "\t# What follows `help` are the names that would stand without it.\n"
	      "\tif ((CURRENT > 2)) && [[ $words[2] == help ]]; then\n"
	      "\t\tshift words; ((CURRENT--)); help=1\n"
	      "\tfi\n"
	      "\tif ((CURRENT == 2)); then\n"
	      "\t\tnames=(",
	      stdout);
	for (const struct cli_group *g = groups; g->commands; g++) {
		if (g->name)
			zsh_described(g->name, g->help);
		for (const struct cli_command *const *c = g->commands; !g->name && *c; c++)
			zsh_described((*c)->name, (*c)->help);
	}
	fputs(")\n\t\t[[ -n $help ]] || names+=(", stdout);
	zsh_described("help", HELP_HELP);
	puts(")\n\t\t_describe command names\n\t\treturn\n\tfi\n\tcase $words[2] in");
	for (const struct cli_group *g = groups; g->commands; g++)
		zsh_group(g);
	puts("\tesac\n}\nif [ \"$funcstack[1]\" = _underlay ]; then _underlay \"$@\"; else compdef _underlay underlay; fi");
}

/* ---- JSON ---- */

static struct json_object *option_json(const struct cli_option *o)
{
	struct json_object *obj = json_object_new_object();
	char letter[2] = {o->letter, '\0'};

	return ul_json_if(ul_json_add_string(obj, "name", o->name) &&
				  ul_json_add_string(obj, "letter", o->letter ? letter : NULL) &&
				  ul_json_add_string(obj, "argument", o->argument) &&
				  ul_json_add_bool(obj, "words", o->kind == CLI_WORD) &&
				  ul_json_add_bool(obj, "bare", !o->argument || o->bare) &&
				  ul_json_add_bool(obj, "needed", o->flags & CLI_NEEDED) &&
				  ul_json_add_bool(obj, "many", cli_option_is_list(o)) &&
				  ul_json_add_string(obj, "default", o->def) &&
				  ul_json_add_string(obj, "help", o->help),
			  obj);
}

static struct json_object *command_json(const struct cli_command *c)
{
	struct json_object *obj = json_object_new_object(), *options = json_object_new_array();
	bool ok = ul_json_add_string(obj, "group", c->group) && ul_json_add_string(obj, "name", c->name) &&
		  ul_json_add_string(obj, "help", c->help) && ul_json_add_string(obj, "page", c->page);

	ok = ul_json_add(obj, "options", options) && ok;
	for (const struct cli_option *o = c->options; ok && o->help; o++)
		ok = ul_json_append(options, option_json(o));
	return ul_json_if(ok, obj);
}

static int print_tables(const struct cli_group *groups)
{
	ul_autojson struct json_object *document = ul_json_document(1);
	struct json_object *commands = json_object_new_array();
	bool ok = ul_json_add(document, "commands", commands);

	for (const struct cli_group *g = groups; g->commands; g++)
		for (const struct cli_command *const *c = g->commands; ok && *c; c++)
			ok = ul_json_append(commands, command_json(*c));
	return cli_print_json(ok ? document : NULL);
}

int cli_completion(const char *shell, const struct cli_group *groups)
{
	if (!strcmp(shell, "json"))
		return print_tables(groups);
	if (!strcmp(shell, "bash"))
		print_bash(groups);
	else if (!strcmp(shell, "fish"))
		print_fish(groups);
	else
		print_zsh(groups);
	return 0;
}
