/* What people read of the tables: synopsis, --help, wrong use. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/buffer.h"
#include "common/error.h"

#define WIDTH       96 /* columns of the help */
#define COLUMN      30 /* where the meaning of an option begins */
#define MESSAGE_MAX 2048

/* A space at which a line is not broken. */
#define STIFF      "\1"
#define STIFF_CHAR '\1'

char *cli_title(const struct cli_command *c, char buf[CLI_TITLE_MAX])
{
	snprintf(buf, CLI_TITLE_MAX, "underlay %s%s%s", c->group ? c->group : "", c->group ? " " : "", c->name);
	return buf;
}

void cli_print_wrapped(FILE *out, int indent, const char *text)
{
	int column = indent;

	for (const char *p = text; *p; p += strspn(p, " ")) {
		int len = (int)strcspn(p, " ");

		if (column > indent && column + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		for (int i = 0; i < len; i++)
			fputc(p[i] == STIFF_CHAR ? ' ' : p[i], out);
		column += len;
		p += len;
	}
	fputc('\n', out);
}

/* ---- the synopsis ---- */

/* One option as it is typed: "-o IMAGE", "--fec[=ROOTS]", "IMAGE". */
static void put_option(struct ul_buffer *b, const struct cli_option *o)
{
	if (o->name && o->letter)
		(void)ul_buffer_printf(b, "-%c", o->letter);
	else if (o->name)
		(void)ul_buffer_printf(b, "--%s", o->name);
	if (o->bare)
		(void)ul_buffer_printf(b, "[=%s]", o->argument);
	else if (o->argument)
		(void)ul_buffer_printf(b, "%s%s", o->name ? STIFF : "", o->argument);
}

/* The first rule that names the row, and makes a group of the synopsis of its members. */
static const struct cli_rule *group_of(const struct cli_command *c, const struct cli_option *o)
{
	for (const struct cli_rule *rule = c->rules; rule && rule->members; rule++) {
		if (rule->kind == CLI_NEEDS)
			continue;
		for (const char *p = rule->members; *p; p += strcspn(p, " "), p += strspn(p, " "))
			if (cli_option_find(c, p, strcspn(p, " ")) == o)
				return rule;
	}
	return NULL;
}

static bool is_group(const struct cli_command *c, const struct cli_rule *rule)
{
	for (const char *p = rule->members; *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (group_of(c, cli_option_find(c, p, strcspn(p, " "))) != rule)
			return false;
	return true;
}

static void put_group(struct ul_buffer *b, const struct cli_command *c, const struct cli_rule *rule)
{
	const char *join = rule->kind == CLI_TOGETHER ? STIFF : STIFF "|" STIFF;
	bool needed = rule->kind == CLI_EXACTLY_ONE || rule->kind == CLI_AT_LEAST_ONE, again = false;

	(void)ul_buffer_printf(b, "%s", needed ? " (" : " [");
	for (const char *p = rule->members; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		const struct cli_option *o = cli_option_find(c, p, strcspn(p, " "));

		(void)ul_buffer_printf(b, "%s", p == rule->members ? "" : join);
		put_option(b, o);
		if (rule->kind == CLI_AT_LEAST_ONE)
			again |= cli_option_is_list(o);
		else if (cli_option_is_list(o))
			(void)ul_buffer_printf(b, "...");
	}
	(void)ul_buffer_printf(b, "%c%s", needed ? ')' : ']', again ? "..." : "");
}

static void put_row(struct ul_buffer *b, const struct cli_option *o)
{
	bool needed = o->flags & CLI_NEEDED;

	(void)ul_buffer_printf(b, "%s", needed ? " " : " [");
	put_option(b, o);
	(void)ul_buffer_printf(b, "%s%s", needed ? "" : "]", cli_option_is_list(o) ? "..." : "");
}

/* The order of the synopsis: what is needed, arguments first; then what may be. */
static int place_of(const struct cli_option *o, const struct cli_rule *group)
{
	bool needed = group ? group->kind == CLI_EXACTLY_ONE || group->kind == CLI_AT_LEAST_ONE
			    : (o->flags & CLI_NEEDED) != 0;

	return needed ? (o->name || group ? 1 : 0) : (o->name ? 3 : 2);
}

static void put_place(struct ul_buffer *b, const struct cli_command *c, int place)
{
	for (const struct cli_option *o = c->options; o->help; o++) {
		const struct cli_rule *group = group_of(c, o);

		if (group && !is_group(c, group))
			group = NULL;
		if (place_of(o, group) != place)
			continue;
		/* A group stands where its first member does. */
		if (group && cli_option_find(c, group->members, strcspn(group->members, " ")) == o)
			put_group(b, c, group);
		else if (!group)
			put_row(b, o);
	}
}

/* What is needed; all of it, or "[OPTION]..." for what may be left out. */
static void put_synopsis(struct ul_buffer *b, const struct cli_command *c, bool all)
{
	ul_autobuffer struct ul_buffer rest = {0};

	for (int place = 0; place < 3; place++)
		put_place(b, c, place);
	if (all) {
		put_place(b, c, 3);
		return;
	}
	put_place(&rest, c, 3);
	if (rest.len > 0)
		(void)ul_buffer_printf(b, " [OPTION]... (--help lists them)");
}

static void print_synopsis(const struct cli_command *c)
{
	ul_autobuffer struct ul_buffer text = {0};
	char title[CLI_TITLE_MAX];

	put_synopsis(&text, c, true);
	printf("usage: %s", cli_title(c, title));
	if (text.len > 0)
		putchar(' ');
	cli_print_wrapped(stdout, (int)strlen(title) + 8, text.len > 0 ? ul_buffer_string(&text) + 1 : "");
}

int cli_usage_error(const struct cli_command *c, const char *format, ...)
{
	ul_autobuffer struct ul_buffer synopsis = {0};
	char title[CLI_TITLE_MAX], text[MESSAGE_MAX], shown[MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* A word of it may be the name of somebody else's file, by a pattern that the shell expanded. */
	ul_escape_text(shown, sizeof(shown), text);
	fprintf(stderr, "%s: %s\n", cli_title(c, title), shown);
	put_synopsis(&synopsis, c, false);
	fprintf(stderr, "usage: %s", title);
	for (size_t i = 0; i < synopsis.len; i++)
		fputc(synopsis.data[i] == STIFF_CHAR ? ' ' : synopsis.data[i], stderr);
	fputc('\n', stderr);
	return 2;
}

/* ---- --help ---- */

const struct cli_option cli_help_row = {.name = "help", .letter = 'h', .help = "print this"};

static void print_option(const struct cli_option *o)
{
	ul_autobuffer struct ul_buffer left = {0}, text = {0};
	int width;

	if (o->name && o->letter)
		(void)ul_buffer_printf(&left, "  -%c, --%s", o->letter, o->name);
	else
		(void)ul_buffer_printf(&left, o->name ? "      --%s" : "  %s", o->name ? o->name : o->argument);
	if (o->name && o->argument)
		(void)ul_buffer_printf(&left, o->bare ? "[=%s]" : " %s", o->argument);
	(void)ul_buffer_printf(&text, "%s", o->help);
	if (o->def && o->def[0])
		(void)ul_buffer_printf(&text, " (default: %s)", o->def);
	if (o->bare)
		(void)ul_buffer_printf(&text, " (%s where no number is given)", o->bare);
	if (o->name && cli_option_is_list(o))
		(void)ul_buffer_printf(&text, "; may be given again");
	if (!ul_buffer_string(&left) || !ul_buffer_string(&text))
		return;
	width = printf("%s", (const char *)left.data);
	if (width > COLUMN - 2)
		printf("\n%*s", COLUMN, "");
	else
		printf("%*s", COLUMN - width, "");
	cli_print_wrapped(stdout, COLUMN, (const char *)text.data);
}

void cli_print_help(const struct cli_command *c)
{
	const char *heading = "\narguments:\n";
	ul_autobuffer struct ul_buffer first = {0};
	char title[CLI_TITLE_MAX];

	(void)ul_buffer_printf(&first, "%s: %s", cli_title(c, title), c->help);
	cli_print_wrapped(stdout, 0, first.len > 0 ? ul_buffer_string(&first) : title);
	putchar('\n');
	print_synopsis(c);
	for (const struct cli_option *o = c->options; o->help; o++)
		if (!o->name) {
			fputs(heading, stdout);
			heading = "";
			print_option(o);
		}
	puts("\noptions:");
	for (const struct cli_option *o = c->options; o->help; o++)
		if (o->name)
			print_option(o);
	print_option(&cli_help_row);
	printf("\nSee %s(1).\n", c->page);
}
