/*
 * The `underlay` command: one file a subcommand, each with a table of its options. No logic of its own: parse
 * arguments, call dbgen/, verity/ or initrd/'s packer, print.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/options.h"
#include "common/error.h"
#include "common/progress.h"

struct cli_command {
	const char *group; /* "image"; NULL: a command without a group ("status") */
	const char *name;  /* "build"; NULL ends a table */
	const char *help;  /* one line, without a full stop */
	const char *page;  /* the manual page of its group, "underlay-image" */
	const struct cli_option *options;
	const struct cli_rule *rules; /* NULL: there are none */
	size_t size;                  /* of the struct that the options fill */
	/* Returns the exit status: 0, 1 or 3. `arguments` is that struct. */
	int (*run)(void *arguments);
};

struct cli_group {
	const char *name;                          /* NULL: its commands stand alone */
	const char *help;                          /* one line, without a full stop */
	const struct cli_command *const *commands; /* ended by NULL */
};

/* ---- cli.c: how a command ends ---- */

/*
 * Before anything else. Standard streams that are closed are opened, so that no file gets their numbers. A signal from
 * now on removes what common/leftover.h lists before it ends the process.
 */
void cli_start(void);

/*
 * After everything else, with the exit status so far; returns the one to end with. Output that was lost (a full disk, a
 * closed standard output) makes it 3, with a sentence. After a signal that cli_catch_signals caught it does not return:
 * the process ends by that signal.
 */
int cli_end(int status);

/* Print "underlay: SENTENCE" to standard error; returns the code's exit status. */
int cli_fail(const struct ul_error *err);

/* Print a document; NULL: memory ran out while it was made. Returns 0 or 3. */
int cli_print_json(struct json_object *document);

/*
 * For a command that cleans up more when it is interrupted: the first SIGINT, SIGTERM or SIGHUP makes cli_interrupted
 * true, the second one ends the process at once.
 */
void cli_catch_signals(void);
bool cli_interrupted(void);

/* ---- usage.c ---- */

/* Wrong use: print "underlay GROUP NAME: REASON", what the command needs, and where more stands. Returns 2. */
int cli_usage_error(const struct cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `underlay GROUP NAME --help` */
void cli_print_help(const struct cli_command *command);

/* Print text from column `indent` on, wrapped, its further lines indented to that column, and a newline. */
void cli_print_wrapped(FILE *out, int indent, const char *text);

/* "underlay image build"; returns buf. */
#define CLI_TITLE_MAX 64
char *cli_title(const struct cli_command *command, char buf[CLI_TITLE_MAX]);

/* ---- progress.c ---- */

/* Progress on a terminal (bytes, rate, time left); NULL where standard error is not one. */
struct ul_progress *cli_progress(void);

/* Wipe the progress line before other output. */
void cli_progress_done(void);
