/* What the tests of the policy share. */
#pragma once

#include "initrd/policy/policy.h"

/* Every setting of the policy as text, "SECTION.KEY=VALUE" a line: what a parameter changed shows. */
#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

void policy_dump(const struct ul_policy *p, char *buf, size_t size);

/* A value that the setting takes and that is not its default, made from its row. */
const char *policy_other_value(const struct ul_config_key *key);

/* Append "[SECTION]\nKEY = VALUE\n" to a text in a buffer of `size` bytes. */
void policy_append(char *text, size_t size, const struct ul_config_key *key, const char *value);

/* Take the command line apart and merge it. */
int policy_apply(struct ul_policy *p, const char *cmdline, struct ul_error *err);
