/* What a failure of the upper is called. */
#include <errno.h>
#include <stdio.h>

#include "dbgen/reconcile/internal.h"

const char ul_rc_what[] = "making the upper agree with the lower";

static const char room[] = "Make room on the upper.";

int ul_rc_fail_upper(struct ul_rc *c, const char *object, int errnum)
{
	return ul_error_errno(c->err, UL_E_UPPER, ul_rc_what, object, errnum == ENOSPC ? room : NULL, errnum);
}

int ul_rc_nomem(struct ul_rc *c)
{
	return ul_error_nomem(c->err, ul_rc_what);
}

int ul_rc_upper_error(struct ul_rc *c, int r)
{
	if (r != -UL_E_SYSTEM)
		return r;
	c->err->code = UL_E_UPPER;
	if (c->err->errnum == ENOSPC)
		snprintf(c->err->todo, sizeof(c->err->todo), "%s", room);
	return -UL_E_UPPER;
}
