/*
 * One table for each subcommand: its options and arguments. The parser, --help, the synopsis, the completion scripts
 * and the check of the manual page all read it, so that all of them are up to date.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vector.h"

/*
 * What a row's value becomes, at `offset` of the subcommand's struct. Texts are argv's own, never copied. Two values
 * where there is no list are wrong use: whichever of them were taken, the other one would be ignored.
 */
enum cli_kind {
	CLI_FLAG,      /* bool; takes no value */
	CLI_TEXT,      /* const char * */
	CLI_FILE,      /* const char *, the path of a file */
	CLI_DIRECTORY, /* const char *, the path of a directory */
	CLI_WORD,      /* const char *, one of the words that `argument` lists */
	CLI_NUMBER,    /* uint64_t from min to max */
	CLI_NUMBER32,  /* uint32_t from min to max */
	CLI_TEXTS,     /* struct cli_texts: may be given again */
	CLI_FILES,     /* the same, of paths */
};

struct cli_texts {
	UL_VECTOR_MEMBERS(const char *);
};

enum cli_flags {
	CLI_NEEDED = 1,
};

struct cli_option {
	/* Without dashes; NULL: a positional argument. Those stand in the order in which they are given. */
	const char *name;
	char letter;          /* of "-o"; 0: there is none */
	const char *argument; /* what the help calls the value: "FILE", or its words, "erofs|squashfs"; NULL: a flag */
	enum cli_kind kind;
	size_t offset;
	unsigned int flags;
	uint64_t min, max;
	const char *def;  /* the value where none is given, in the spelling of the command line; NULL: zero bytes */
	const char *bare; /* the value of an option that may stand without one ("--fec"); NULL: it needs one */
	/* NULL: the value is fine; else what is wanted ("a root hash of 64 or 128 hex digits"). May be NULL itself. */
	const char *(*check)(const char *value);
	const char
		*called;  /* what messages call an argument whose `argument` lists its words; NULL: as the help does */
	const char *help; /* what it means, without a full stop; NULL ends the table */
};

/* "-h, --help", which every command has and no table. */
extern const struct cli_option cli_help_row;

#define CLI_THREADS_MAX 1024

/* --threads, the same in every command that has it. */
#define CLI_THREADS_ROW(at, text)                                                              \
	{                                                                                      \
		"threads", 'j', "N", CLI_NUMBER32, (at), 0, .min = 1, .max = CLI_THREADS_MAX,  \
							    .help = "number of threads; " text \
	}

/* --sector-size, into a const char *; cli_sector_size gives its bytes. */
#define CLI_SECTOR_ROW(at, text)                                                                                 \
	{                                                                                                        \
		"sector-size", 0, "512|4096", CLI_WORD, (at), 0, .def = "512", .help = "bytes of a sector " text \
	}

uint32_t cli_sector_size(const char *word);

/* For `check`: bytes, as ul_parse_size reads them. */
const char *cli_check_size(const char *text);
/* For `check`: a path that begins with a slash. */
const char *cli_check_absolute(const char *text);

enum cli_rule_kind {
	CLI_AT_MOST_ONE,  /* they exclude each other */
	CLI_EXACTLY_ONE,  /* at most one, and one is needed */
	CLI_AT_LEAST_ONE, /* one is needed */
	CLI_TOGETHER,     /* all or none */
	CLI_NEEDS,        /* the first does not go without the others */
};

/* What options have to do with each other. The synopsis makes a group of the first rule that names an option. */
struct cli_rule {
	enum cli_rule_kind kind;
	const char
		*members; /* "--key --cert", separated by spaces; positional arguments by their name. NULL: the end */
	const char *hint; /* follows the message, after a colon or semicolon; may be NULL */
};

struct cli_command;

/*
 * Fill `arguments` from argv (argv[0] is the subcommand's name) by the command's table: defaults, options, rules.
 * true: the command is to be run. Else *ret_status is what to end with, and help or the reason is printed.
 * In any case cli_options_free releases what the struct's lists hold.
 */
bool cli_options_parse(const struct cli_command *command, int argc, char **argv, void *arguments, int *ret_status);
void cli_options_free(const struct cli_command *command, void *arguments);

/* Whether the rules hold; given: one for each row. Else *ret_status is 2, and the reason is printed. */
bool cli_rules_hold(const struct cli_command *command, const bool *given, int *ret_status);

/* The row that "--name" or "ARGUMENT" of len bytes names; NULL: there is none. */
const struct cli_option *cli_option_find(const struct cli_command *command, const char *spelling, size_t len);

/* May be given again. */
bool cli_option_is_list(const struct cli_option *option);

/* What messages call a row: "--name" or "ARGUMENT". Returns buf. */
#define CLI_SPELLING_MAX 64
char *cli_option_spelling(const struct cli_option *option, char buf[CLI_SPELLING_MAX]);

/* Words as a sentence lists them. Zero-initialise it. */
#define CLI_LIST_MAX 512
struct cli_list {
	char text[CLI_LIST_MAX]; /* "--a, --b, --c" */
	size_t n, last;          /* last: where the last word begins in text */
};

void cli_list_add(struct cli_list *list, const char *word, size_t len);
void cli_list_add_option(struct cli_list *list, const struct cli_option *option);

/* "--a, --b and --c". Returns buf. */
const char *cli_list_join(const struct cli_list *list, const char *conjunction, char buf[CLI_LIST_MAX]);
