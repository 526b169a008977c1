/*
 * The `underlay` command: one file a subcommand group, each row of its table a subcommand. No logic of
 * its own: parse arguments, call dbgen/, verity/ or initrd/'s packer, print.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"

struct cli_command {
	const char *group; /* "manifest" */
	const char *name;  /* "create"; NULL where the group is the command ("status") */
	const char *usage; /* arguments, as the synopsis shows them */
	const char *help;  /* one line */
	/* argv[0] is the subcommand's name. Returns the exit status: 0, 1, 2 or 3. */
	int (*run)(int argc, char **argv);
};

/* Ended by a row whose group is NULL; one table per file of cli/. */
extern const struct cli_command cli_manifest_commands[];
extern const struct cli_command cli_db_commands[];
extern const struct cli_command cli_mark_commands[];
extern const struct cli_command cli_image_commands[];
extern const struct cli_command cli_initrd_commands[];
extern const struct cli_command cli_uki_commands[];
extern const struct cli_command cli_remount_commands[];
extern const struct cli_command cli_status_commands[];
extern const struct cli_command cli_completion_commands[];

/* All of them, in the order of the help; ended by NULL. */
extern const struct cli_command *const cli_groups[];

/* Print "underlay: SENTENCE" to standard error; returns the code's exit status. */
int cli_fail(const struct ul_error *err);

/* Wrong use: print the reason and the command's usage; returns 2. */
int cli_usage_error(const struct cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The row that main is running: for usage messages of option parsers. */
const struct cli_command *cli_current(void);

/* Progress on a terminal (bytes, rate, time left); NULL where standard error is none. */
struct ul_progress *cli_progress(void);

/* Wipe the progress line before other output. */
void cli_progress_done(void);

/* A whole decimal number from min to max. false: it is none, and *ret may have been written. */
bool cli_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* What --threads takes: 1 to 1024. */
bool cli_parse_threads(const char *text, unsigned int *ret);
