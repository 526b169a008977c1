/*
 * The command line, taken apart and merged into a policy that allows what can be allowed. Whatever it says,
 * the strict settings stay as they are.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "initrd/policy/policy.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 64};

void fuzz_one(const uint8_t *data, size_t size)
{
	static const char conf[] = "[verify]\nrollback-min = 5\n"
				   "[cmdline]\nallow = underlay.disks underlay.timeout underlay.failure\n"
				   "allow = underlay.delay underlay.database underlay.modules usrhash\n";
	struct ul_cmdline c = {0};
	struct ul_policy p;
	struct ul_error err;

	ul_policy_init(&p);
	if (ul_policy_parse(&p, conf, sizeof(conf) - 1, "fuzz", &err) < 0)
		abort();
	if (ul_cmdline_parse((const char *)data, size, &c, &err) == 0)
		(void)ul_policy_apply(&p, &c, &err);
	if (p.verify_mode != UL_POLICY_USER || p.descriptor != UL_REQUIRED || p.rollback_min < 5 ||
	    p.action == UL_FAIL_SHELL || p.designator != UL_DESIGNATOR_USR || strcmp(p.filesystems[0], "erofs") != 0 ||
	    strcmp(p.filesystems[1], "squashfs") != 0 || p.filesystems[2] || p.system)
		abort();
	ul_cmdline_free(&c);
	ul_policy_free(&p);
}
