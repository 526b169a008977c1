#include "initrd/base/harden.h"

#include <sys/prctl.h>

/* Names of <linux/prctl.h>, which a libc's headers may be too old for. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN (1UL << 0)
#endif
#ifndef PR_MDWE_NO_INHERIT
#define PR_MDWE_NO_INHERIT (1UL << 1)
#endif

bool ul_refuse_new_code(void)
{
	return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT, 0UL, 0UL, 0UL) == 0;
}
