/* See upper_dir.h. */
#include "dbgen/reconcile/upper_dir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "dbgen/reconcile/report.h"

static const char what[] = "making the upper agree with the lower";
static const char room[] = "Make room on the upper.";

void ul_upper_dir_init(struct ul_upper_dir *u, const struct ul_reconcile_options *o, struct ul_reconcile_report *report,
		       struct ul_error *err)
{
	*u = (struct ul_upper_dir){
		.fd = o->upper_fd,
		.path = o->upper_path,
		.dry_run = o->dry_run,
		.report = report,
		.err = err,
		.quarantine = {.fd = -1, .run_fd = -1},
	};
}

void ul_upper_dir_close(struct ul_upper_dir *u)
{
	ul_cleanup_close(&u->quarantine.run_fd);
	ul_cleanup_close(&u->quarantine.fd);
}

int ul_upper_dir_fail(struct ul_upper_dir *u, const char *object, int errnum)
{
	return ul_error_errno(u->err, UL_E_UPPER, what, object, errnum == ENOSPC ? room : NULL, errnum);
}

int ul_upper_dir_nomem(struct ul_upper_dir *u)
{
	return ul_error_nomem(u->err, what);
}

int ul_upper_dir_error(struct ul_upper_dir *u, int r)
{
	if (r != -UL_E_SYSTEM)
		return r;
	u->err->code = UL_E_UPPER;
	if (u->err->errnum == ENOSPC)
		snprintf(u->err->todo, sizeof(u->err->todo), "%s", room);
	return -UL_E_UPPER;
}

int ul_upper_dir_report(struct ul_upper_dir *u, enum ul_reconcile_action action, const char *name, const char *format,
			...)
{
	char why[400];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return ul_report_add(u->report, action, name, why) < 0 ? ul_upper_dir_nomem(u) : 0;
}
