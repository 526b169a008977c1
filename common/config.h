/*
 * The INI configuration (through inih): a table of keys says what exists; an unknown section or key,
 * a value of the wrong kind, a key given twice, a line too long are failures, never guesses, because
 * a misspelt security setting that is ignored is a hole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum ul_config_kind {
	UL_CONFIG_STRING,   /* char *, owned; NULL: not set, which an empty value is too */
	UL_CONFIG_BOOL,     /* bool: yes/no, true/false, on/off, 1/0 */
	UL_CONFIG_UINT,     /* uint64_t: decimal */
	UL_CONFIG_SIZE,     /* uint64_t, bytes: decimal with optional K M G T (powers of 1024) */
	UL_CONFIG_DURATION, /* uint64_t, microseconds: number with optional us ms s min h; plain = s */
	UL_CONFIG_ENUM,     /* an enum: index of the value in `choices` */
	UL_CONFIG_LIST,     /* char **, owned, NULL-terminated: words; NULL: not set. The key may be given again */
};

/* The bit of one choice in ul_config_need.values. */
#define UL_CONFIG_IS(choice) (1u << (choice))

/* A setting means something only where another one has a certain value. */
struct ul_config_need {
	const char *section, *key; /* of the other setting, an ENUM; NULL: no need */
	unsigned int values;       /* UL_CONFIG_IS of each value that gives this setting a meaning */
};

#define UL_CONFIG_NEEDS 2

/* One key. The table ends with a row whose key is NULL. */
struct ul_config_key {
	const char *section;
	const char *key;
	enum ul_config_kind kind;
	size_t offset;              /* of the field in the target structure */
	const char *field;          /* its name, for the check that asks who reads it */
	const char *def;            /* default, as it would stand in the file; NULL (STRING and LIST only): not set */
	const char *const *choices; /* ENUM: the values; LIST: the words that it may have, NULL: any. NULL-terminated */
	uint64_t min, max;          /* for numbers; both 0: no bound */
	struct ul_config_need needs[UL_CONFIG_NEEDS];
	bool any_need;   /* one of the needs is enough */
	const char *why; /* for the manual: what it is for; a sentence without its capital letter and full stop */
};

/* Largest configuration that is read, in bytes. */
#define UL_CONFIG_MAX 65536

/*
 * Set the fields of a zeroed target to the table's defaults. Returns 0; -UL_E_MEMORY, where numbers are set all the
 * same and texts may be missing (ul_config_complete tells); -UL_E_CONFIG: a default is not a value of its kind.
 */
int ul_config_init(const struct ul_config_key *keys, void *target, struct ul_error *err);

/* Whether each text and list that has a default is there. */
bool ul_config_complete(const struct ul_config_key *keys, const void *target);

/*
 * Parse text (len bytes) into target, which holds the defaults. name is for messages. A list's words take the place
 * of its default; an empty text or list is as if it were not given. On failure target is as far changed as parsing
 * went: free it all the same. Returns 0; -UL_E_MEMORY; -UL_E_CONFIG with file, line, key, and the right values, or the
 * nearest name.
 */
int ul_config_parse(const struct ul_config_key *keys, const char *text, size_t len, const char *name, void *target,
		    struct ul_error *err);

/*
 * The line of a text that passed ul_config_parse which gives the setting, from 1 on; with a word, the one that has it
 * among its own. 0: none does.
 */
unsigned int ul_config_line(const char *text, size_t len, const struct ul_config_key *key, const char *word);

/*
 * Set one value as parsing would; for overrides from the command line. A list gets the words beside those that it
 * has. where is for messages.
 */
int ul_config_set(const struct ul_config_key *key, const char *value, const char *where, void *target,
		  struct ul_error *err);

/* Free the strings and lists of target that the table describes. */
void ul_config_free(const struct ul_config_key *keys, void *target);

/* The row of a setting; NULL: there is no such setting. */
const struct ul_config_key *ul_config_find(const struct ul_config_key *keys, const char *section, const char *key);

/* Whether the setting has the same value in both targets. */
bool ul_config_same(const struct ul_config_key *key, const void *a, const void *b);

/* Whether the need is met in target. */
bool ul_config_meets(const struct ul_config_key *keys, const struct ul_config_need *need, const void *target);

/* A number of the kind as it would stand in the file, in the largest unit that is exact: "2min", "1G", "7". */
void ul_config_number_text(enum ul_config_kind kind, uint64_t number, char buf[32]);

/* Decimal digits and nothing else, so that no "-1", "+5", " 7" or "0x10" means something. */
bool ul_parse_number(const char *text, uint64_t *ret);

/* As ul_parse_number, but K, M, G or T may stand behind the digits: powers of 1024. */
bool ul_parse_size(const char *text, uint64_t *ret);
