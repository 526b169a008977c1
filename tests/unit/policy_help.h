/* What the tests of the policy share. */
#pragma once

#include "initrd/policy/policy.h"

/* Every setting of the policy as text, "SECTION.KEY=VALUE" a line: what a parameter changed shows. */
void policy_dump(const struct ul_policy *p, char *buf, size_t size);
