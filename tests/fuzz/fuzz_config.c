/* The policy file of any bytes: read or refused with a reason, never half. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "initrd/policy/policy.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 64};

void fuzz_one(const uint8_t *data, size_t size)
{
	struct ul_policy p;
	struct ul_error err = {0};
	int r;

	ul_policy_init(&p);
	r = ul_policy_parse(&p, (const char *)data, size, "fuzz", &err);
	if (r == 0 && (p.timeout_us == 0 || p.action > UL_FAIL_SHELL || p.verify_mode > UL_POLICY_INSECURE))
		abort();
	/* The word that permits it, and what it permits. */
	if (r == 0 && (p.verify_mode == UL_POLICY_INSECURE) != (p.lower_share != NULL))
		abort();
	if (r < 0 && (err.code != UL_E_CONFIG || !err.why[0]) && err.code != UL_E_MEMORY)
		abort();
	ul_policy_free(&p);
}
