/* The part of stage verify that a test can run where there is no device-mapper. */
#pragma once

#include "initrd/base/boot.h"

/*
 * Before: lower has a slot. After: lower->seal says what is trusted of it, and its slot has the signed name. The errors
 * of ul_judge_seal.
 */
int ul_verify_seal(const struct ul_boot *b, struct ul_lower *lower, struct ul_error *err);
