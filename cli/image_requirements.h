/* What is demanded of an image: by options, or by the policy that a machine boots with. */
#pragma once

#include "cli/options.h"
#include "common/paths.h"
#include "initrd/policy/policy.h"
#include "verity/lower/judge.h"

/* The options' values; NULL and 0: not given. Filled by the parser. */
struct cli_demand_options {
	const char *cert, *certs;
	const char *policy; /* file; takes the place of those below */
	const char *root_hash, *name, *descriptor;
	uint64_t rollback_min;
};

/* The rows that fill it; demands: its offset in the command's arguments. */
#define CLI_DEMAND(demands, member) ((demands) + offsetof(struct cli_demand_options, member))
#define CLI_CERT_ROW(demands)                                                                                     \
	{                                                                                                         \
		"cert", 0, "FILE", CLI_FILE, CLI_DEMAND(demands, cert), 0, .help = "trust this certificate (PEM)" \
	}
#define CLI_CERTS_ROW(demands)                                                                                        \
	{                                                                                                             \
		"certs", 0, "DIR", CLI_DIRECTORY, CLI_DEMAND(demands, certs), 0,                                      \
			.help = "trust every *.crt of a directory; " UL_PATH_CERTS " where nothing is given to trust" \
	}
#define CLI_POLICY_ROW(demands)                                                                   \
	{                                                                                         \
		"policy", 0, "FILE", CLI_FILE, CLI_DEMAND(demands, policy), 0,                    \
			.help = "judge as a machine with this policy would; see underlay.conf(5)" \
	}
#define CLI_ROLLBACK_ROW(demands)                                                                                      \
	{                                                                                                              \
		"rollback-min", 0, "N", CLI_NUMBER, CLI_DEMAND(demands, rollback_min), 0,                              \
			.max = INT64_MAX, .help = "refuse a rollback index below N, and an image without a descriptor" \
	}
#define CLI_NAME_ROW(demands)                                                                                          \
	{                                                                                                              \
		"name", 0, "NAME", CLI_TEXT, CLI_DEMAND(demands, name), 0, .help = "the name that the image must have" \
	}

/* And the rules, for a command that has all of them. */
#define CLI_POLICY_SAYS_IT "the policy says it"
#define CLI_ONE_TRUST_RULE                              \
	{                                               \
		CLI_AT_MOST_ONE, "--cert --certs", NULL \
	}
#define CLI_ROLLBACK_RULE                                                      \
	{                                                                      \
		CLI_AT_MOST_ONE, "--policy --rollback-min", CLI_POLICY_SAYS_IT \
	}
#define CLI_NAME_RULE                                                  \
	{                                                              \
		CLI_AT_MOST_ONE, "--policy --name", CLI_POLICY_SAYS_IT \
	}

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
