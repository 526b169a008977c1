/* Stage verify's decision, apart from the mapping that follows it: a test without device-mapper makes it too. */
#pragma once

#include "initrd/base/boot.h"

/*
 * Whether the policy, then the command line, accept what the slot says of itself: fills lower->seal and, where the
 * descriptor vouches for them, the slot's name and version. The codes of ul_seal_decide; -UL_E_NO_IMAGE: another name.
 */
int ul_verify_decide(const struct ul_boot *b, struct ul_lower *lower, struct ul_error *err);
