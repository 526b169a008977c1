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
	UL_CONFIG_STRING,   /* char *, owned; "" is allowed */
	UL_CONFIG_BOOL,     /* bool: yes/no, true/false, on/off, 1/0 */
	UL_CONFIG_UINT,     /* uint64_t: decimal */
	UL_CONFIG_SIZE,     /* uint64_t, bytes: decimal with optional K M G T (powers of 1024) */
	UL_CONFIG_DURATION, /* uint64_t, microseconds: number with optional us ms s min h; plain = s */
	UL_CONFIG_ENUM,     /* unsigned int: index of the value in `choices` */
	UL_CONFIG_LIST,     /* char **, owned, NULL-terminated: words; the key may be given again */
};

/* One key. The table ends with a row whose key is NULL. */
struct ul_config_key {
	const char *section;
	const char *key;
	enum ul_config_kind kind;
	size_t offset;              /* of the field in the target structure */
	const char *const *choices; /* for UL_CONFIG_ENUM, NULL-terminated */
	uint64_t min, max;          /* for numbers; both 0: no bound */
	const char *why;            /* one line for the manual: what it is for */
};

/* Largest configuration that is read, in bytes. */
#define UL_CONFIG_MAX 65536

/*
 * Parse text (len bytes) into target, which holds the defaults. name is for messages. On failure
 * target is as far changed as parsing went: free it all the same. Returns 0 or -UL_E_CONFIG with
 * file, line, key, and the values that would have been right.
 */
int ul_config_parse(const struct ul_config_key *keys, const char *text, size_t len, const char *name, void *target,
		    struct ul_error *err);

/* Set one value as parsing would; for overrides from the command line. where is for messages. */
int ul_config_set(const struct ul_config_key *key, const char *value, const char *where, void *target,
		  struct ul_error *err);

/* Free the strings and lists of target that the table describes. */
void ul_config_free(const struct ul_config_key *keys, void *target);

/* Parse "10", "500ms", "2min" to microseconds; "64M" to bytes. false: no such thing. */
bool ul_parse_duration(const char *text, uint64_t *ret_us);
bool ul_parse_size(const char *text, uint64_t *ret_bytes);

/* Decimal digits and nothing else, so that no "-1", "+5", " 7" or "0x10" means something. */
bool ul_parse_number(const char *text, uint64_t *ret);
