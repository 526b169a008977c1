/*
 * Room on a full disk, from what is missed least, each once a run:
 *   1. the reserve, which is there for this (dbgen/layers/reserve.h);
 *   2. what the quarantine holds, but for what was superseded, and all of the trash;
 *   3. what was superseded in earlier runs, where the step may: a machine that boots goes before the way back to
 *      another image, but not before the image's own things are back (reconcile.c).
 * Then the step fails with its own sentence.
 */
#include "dbgen/reconcile/room.h"

#include <limits.h>
#include <sys/statvfs.h>
#include <time.h>

#include "dbgen/layers/reserve.h"
#include "dbgen/reconcile/report.h"

int ul_room_empty(struct ul_agreement *a, enum ul_quarantine_extent extent)
{
	const struct ul_quarantine_limits limits = {
		.age = a->o->quarantine_age, .now = time(NULL), .size = a->o->quarantine_size, .extent = extent};
	int r = ul_quarantine_empty(&a->upper, &limits);

	return r < 0 ? r
		     : ul_upper_dir_empty_trash(&a->upper,
						extent == UL_QUARANTINE_LIMITS ? UL_TRASH_AT_A_BOOT : UINT_MAX);
}

/* A disk may lack either. */
struct left {
	uint64_t blocks, files;
};

static struct left ask_left(const struct ul_upper_dir *u)
{
	struct statvfs fs = {.f_bfree = 0};

	(void)fstatvfs(u->fd, &fs);
	return (struct left){.blocks = fs.f_bfree, .files = fs.f_ffree};
}

static bool empty(struct ul_agreement *a, enum ul_quarantine_extent extent)
{
	struct left before = ask_left(&a->upper), after;

	if (ul_room_empty(a, extent) < 0)
		return false;
	after = ask_left(&a->upper);
	return after.blocks > before.blocks || after.files > before.files;
}

/* false: there is nothing more to give. */
static bool make_room(struct ul_agreement *a, enum ul_room until)
{
	bool made = false;

	while (!made && a->room < until) {
		switch (a->room++) {
		case UL_ROOM_RESERVE:
			made = ul_reserve_release(a->upper.fd);
			break;
		case UL_ROOM_JUNK:
			made = empty(a, UL_QUARANTINE_JUNK);
			break;
		case UL_ROOM_SUPERSEDED:
			made = empty(a, UL_QUARANTINE_ALL);
			break;
		case UL_ROOM_NONE:
			break;
		}
	}
	return made;
}

int ul_with_room(struct ul_agreement *a, int (*step)(struct ul_agreement *a), enum ul_room until)
{
	for (;;) {
		struct ul_report_mark mark = ul_report_mark(a->upper.report);
		int r = step(a);
		struct ul_error err;

		if (r != -UL_E_UPPER || a->upper.dry_run || !ul_errno_is_full(a->upper.err->errnum))
			return r;
		err = *a->upper.err;
		if (!make_room(a, until)) {
			*a->upper.err = err;
			return r;
		}
		ul_report_forget_verdicts(a->upper.report, &mark);
	}
}
