/* A read of the lower that failed: whose fault is it? */
#pragma once

#include <errno.h>

#include "common/error.h"

/* dm-verity answers EIO for a block that does not match the hash tree: UL_E_CORRUPT. Any other errno: code. */
static inline enum ul_code ul_corrupt_or(enum ul_code code, int errnum)
{
	return errnum == EIO ? UL_E_CORRUPT : code;
}
