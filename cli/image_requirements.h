/* What is demanded of an image: by options, or by the policy that a machine boots with. */
#pragma once

#include "initrd/policy/policy.h"
#include "verity/lower/judge.h"

/* The options' values; NULL and 0: not given. Filled by the parser. */
struct cli_demand_options {
	const char *cert, *certs;
	const char *policy; /* file; takes the place of those below */
	const char *root_hash, *name, *descriptor;
	uint64_t rollback_min;
};

/* Owns what the demands point to. Free with cli_demands_free. */
struct cli_demands {
	struct ul_requirements demands;
	const char *designator; /* the policy's; NULL: any */
	struct ul_policy policy;
	struct ul_trust *trust;
	uint8_t root_hash[UL_ROOT_HASH_MAX];
};

/* NULL, or what the option wants in place of this text. */
const char *cli_check_root_hash(const char *text);

/*
 * The certificate of a file, or those of a directory; both NULL: those of the machine. -UL_E_SIGNER: there are none, so
 * that nothing could be verified. On failure *ret is to be freed, too.
 */
int cli_trust_load(const char *cert, const char *certs, struct ul_trust **ret, struct ul_error *err);

/* On failure ret is to be freed, too. -UL_E_CONFIG, and what loading certificates says. */
int cli_demands_load(const struct cli_demand_options *o, struct cli_demands *ret, struct ul_error *err);
void cli_demands_free(struct cli_demands *d);
