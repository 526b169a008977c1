/* See upper_dir.h. */
#include "dbgen/reconcile/upper_dir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "dbgen/layers/join.h"
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
		.trash = {.fd = -1},
		.quarantine = {.fd = -1, .runs = {{.fd = -1}, {.fd = -1}}},
	};
}

void ul_upper_dir_close(struct ul_upper_dir *u)
{
	ul_cleanup_close(&u->quarantine.runs[0].fd);
	ul_cleanup_close(&u->quarantine.runs[1].fd);
	ul_cleanup_close(&u->quarantine.fd);
	ul_trash_close(&u->trash);
}

static int open_trash(struct ul_upper_dir *u)
{
	int r = u->trash.fd >= 0 ? 0 : ul_trash_open(u->fd, UL_TRASH, &u->trash);

	return r < 0 ? ul_upper_dir_fail(u, UL_TRASH, -r) : 0;
}

int ul_upper_dir_discard(struct ul_upper_dir *u, int dirfd, const char *name)
{
	int r = u->dry_run ? 0 : open_trash(u);

	if (r < 0 || u->dry_run)
		return r;
	r = ul_trash_move(&u->trash, dirfd, name);
	return r < 0 && r != -ENOENT ? ul_upper_dir_fail(u, name, -r) : 0;
}

int ul_upper_dir_empty_trash(struct ul_upper_dir *u, unsigned int most)
{
	bool empty;
	int r = u->dry_run ? 0 : open_trash(u);

	if (r < 0 || u->dry_run)
		return r;
	r = ul_trash_empty(&u->trash, most, &empty);
	return r < 0 ? ul_upper_dir_fail(u, UL_TRASH, -r) : 0;
}

int ul_upper_dir_fail(struct ul_upper_dir *u, const char *object, int errnum)
{
	return ul_error_errno(u->err, UL_E_UPPER, what, object, ul_errno_is_full(errnum) ? room : NULL, errnum);
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
	if (ul_errno_is_full(u->err->errnum))
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
