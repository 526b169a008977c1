/* What a policy demands of an image, in the words of the judge (verity/lower/judge.h). */
#pragma once

#include "initrd/policy/policy.h"
#include "verity/lower/judge.h"
#include "verity/open/trust.h"

/*
 * The policy must be through ul_policy_finish, and its mode verify (not insecure: then only what is demanded of the
 * content counts). The policy and trust must outlive what is returned.
 */
struct ul_requirements ul_policy_requirements(const struct ul_policy *p, const struct ul_trust *trust);
