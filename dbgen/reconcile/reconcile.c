/* The order of a reconcile; reconcile.h tells why it is this one. */
#include "dbgen/reconcile/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/sqlite.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/restore.h"
#include "dbgen/reconcile/room.h"
#include "dbgen/reconcile/roots.h"
#include "dbgen/reconcile/supersede.h"
#include "dbgen/reconcile/sweep.h"
#include "dbgen/reconcile/upper_open.h"

#define REPORT_JSON "report.json"

static const char what[] = "making the upper agree with the lower";
static const char marking[] = "setting the clean mark";

static int begin(struct ul_agreement *a)
{
	int r = ul_lower_rows_open(&a->lower, &a->o->lower, a->upper.err);

	return r == 0 ? ul_db_file_init(&a->db, &a->upper) : r;
}

static int read_marks(struct ul_agreement *a)
{
	const struct ul_reconcile_options *o = a->o;
	struct ul_reconcile_report *report = a->upper.report;
	int r = ul_marks_read(&a->upper, &a->marks);

	ul_marks_identity(&o->lower, report->identity, sizeof(report->identity));
	a->left_before = a->marks.known && !strcmp(a->marks.identity, UL_MARKS_NO_LOWER);
	report->first = !a->marks.known;
	report->lower_changed = !a->marks.known || strcmp(a->marks.identity, report->identity) != 0 ||
				a->marks.rebuild != (o->mode == UL_RECONCILE_REBUILD);
	return r;
}

static int remove_clean(struct ul_agreement *a)
{
	return ul_marks_remove_clean(&a->upper);
}

static int open_store(struct ul_agreement *a)
{
	ul_upper_store_close(&a->store);
	return ul_upper_store_open(&a->store, &a->upper);
}

static int agree_in_mode(struct ul_agreement *a)
{
	int r = a->o->mode == UL_RECONCILE_ATTACH ? ul_agree_attached(a) : ul_agree_rebuilt(a);

	/* Whatever came of it, nobody reads the old one any more. */
	sqlite3_close(ul_steal(a->db.db));
	a->upper.report->checked = a->store.checked;
	return r;
}

static int agree_on_database(struct ul_agreement *a)
{
	struct ul_upper_dir *u = &a->upper;
	uint64_t start = ul_now_us();
	int r = agree_in_mode(a);

	/*
	 * Rows that contradict each other in a way that no row alone shows. The machine starts without them rather
	 * than not at all. (What is wrong with the lower's own database has another code, or another mode.)
	 */
	if (!u->dry_run && a->db.dir_fd >= 0 &&
	    (r == -UL_E_INPUT || (r == -UL_E_DATABASE && a->o->mode == UL_RECONCILE_REBUILD))) {
		char why[300];

		snprintf(why, sizeof(why), "nothing can be made of it: %.200s", u->err->why);
		r = ul_db_file_quarantine(&a->db, why);
		if (r == 0)
			r = agree_in_mode(a);
	}
	u->report->database_us += ul_now_us() - start;
	return r;
}

static int write_report(struct ul_agreement *a)
{
	struct ul_upper_dir *u = &a->upper;
	ul_autojson struct json_object *document = ul_json_document(1);
	ul_autojson struct json_object *report =
		ul_reconcile_report_json(u->report, a->o->lower.name, a->o->lower.version, UL_RECONCILE_LISTED);
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm tm;
	bool ok;

	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	ok = ul_json_add_string(document, "time", stamp) && ul_json_add_all(document, report);
	return ul_upper_dir_write(u, REPORT_JSON, ok ? ul_json_text(document) : NULL);
}

static int write_lower(struct ul_agreement *a)
{
	struct ul_marks now = {.rebuild = a->o->mode == UL_RECONCILE_REBUILD,
			       .checked_id = a->db.max_id,
			       .upper_paths = a->upper.report->upper_paths};

	now.upper_ids = a->upper_ids;
	snprintf(now.identity, sizeof(now.identity), "%s", a->upper.report->identity);
	/* Where there is more to sweep, the next boot judges again, and goes on. */
	if (!a->unswept)
		ul_db_file_print(&a->db, &now.print);
	/*
	 * A database that was damaged is written anew by now, and a disk may have room at the next boot. Once: nothing
	 * is swept until a lower is named.
	 */
	if (a->not_restored && !a->left_before) {
		now.known = true;
		return ul_marks_leave_lower(&a->upper, &now, a->o);
	}
	return ul_marks_write_lower(&a->upper, &a->marks, &now, a->o);
}

/*
 * Over another lower paths may have lost their rows that the lower before gives them back; and where rows went because
 * something is wrong, their files stay for whoever wants to see what, until the database is written to the next time.
 */
static bool may_sweep(const struct ul_agreement *a)
{
	const struct ul_reconcile_report *report = a->upper.report;

	return a->whole && !report->lower_changed && report->n[UL_RECONCILE_INVALIDATED] == 0;
}

static int sweep(struct ul_agreement *a)
{
	return may_sweep(a) ? ul_sweep(a) : 0;
}

static int report_roots(struct ul_agreement *a)
{
	const struct ul_reconcile_report *report = a->upper.report;

	if (!report->lower_changed && report->n[UL_RECONCILE_INVALIDATED] == 0)
		return 0;
	return ul_roots_report(&a->upper, &a->store, &a->lower);
}

/* ---- the end: everything that went before is on the disk before the files that say so ---- */

static int empty_quarantine(struct ul_agreement *a)
{
	return ul_room_empty(a, UL_QUARANTINE_LIMITS);
}

static int sync_changes(struct ul_agreement *a)
{
	struct ul_upper_dir *u = &a->upper;
	const uint64_t *n = u->report->n;

	if (n[UL_RECONCILE_QUARANTINED] + n[UL_RECONCILE_RESTORED] + n[UL_RECONCILE_SWEPT] + n[UL_RECONCILE_NOTE] ==
		    0 ||
	    syncfs(u->fd) == 0)
		return 0;
	return ul_upper_dir_fail(u, u->path, errno);
}

static int write_report_of_deeds(struct ul_agreement *a)
{
	return ul_reconcile_did_something(a->upper.report) ? write_report(a) : 0;
}

static void keep_reserve(struct ul_agreement *a)
{
	struct stat st;
	uint64_t size = 0;

	if (a->db.dir_fd >= 0 && fstatat(a->db.dir_fd, UL_DB_FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		size = (uint64_t)st.st_size;
	ul_reserve_keep(a->upper.fd, size);
}

/* ---- the order ---- */

/*
 * until: what was superseded is given up for the room only once this lower has taken its own of it back, and never for
 * a report. LAST: where there is no room for it the next boot does it. TRY: a convenience, without which the machine
 * starts, whatever is wrong. ASIDE: where the quarantine takes nothing, what would go there is thrown away.
 */
static const struct step {
	int (*run)(struct ul_agreement *a);
	enum ul_room until;
	enum { LOOK, TRY, ASIDE, WRITE, LAST } kind; /* a dry run only does the first three */
} steps[] = {
	/* clang-format off */
	{read_marks,            UL_ROOM_SUPERSEDED, LOOK},
	{remove_clean,          UL_ROOM_SUPERSEDED, WRITE},
	{open_store,            UL_ROOM_SUPERSEDED, LOOK},
	{ul_restore,            UL_ROOM_SUPERSEDED, TRY},
	{ul_supersede,          UL_ROOM_NONE,       ASIDE},
	{agree_on_database,     UL_ROOM_NONE,       LOOK},
	{sweep,                 UL_ROOM_NONE,       LOOK},
	{report_roots,          UL_ROOM_NONE,       LOOK},
	{empty_quarantine,      UL_ROOM_SUPERSEDED, LAST},
	{sync_changes,          UL_ROOM_SUPERSEDED, LAST},
	{write_report_of_deeds, UL_ROOM_SUPERSEDED, LAST},
	{write_lower,           UL_ROOM_SUPERSEDED, LAST},
	/* clang-format on */
};

static int go_without(struct ul_agreement *a)
{
	a->not_restored = true;
	return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, a->upper.err->object,
				   "what was superseded does not come back: %s", a->upper.err->why);
}

static int throw_away(struct ul_agreement *a, const struct step *step)
{
	int r = ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, a->upper.err->object,
				    "the quarantine takes nothing, so what this lower has goes for good: %s",
				    a->upper.err->why);

	a->discard_sealed = true;
	return r < 0 ? r : ul_with_room(a, step->run, step->until);
}

static int do_step(struct ul_agreement *a, const struct step *step)
{
	int r;

	if (a->upper.dry_run && step->kind >= WRITE)
		return 0;
	r = ul_with_room(a, step->run, step->until);
	if (r == -UL_E_UPPER && step->kind == TRY)
		return go_without(a);
	if (r == -UL_E_UPPER && step->kind == ASIDE && a->cannot_aside)
		return throw_away(a, step);
	return r == -UL_E_UPPER && step->kind == LAST && ul_errno_is_full(a->upper.err->errnum) ? 0 : r;
}

static int run_parts(struct ul_agreement *a)
{
	int r = begin(a);

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(steps); i++) {
		/* Then the marks are read. */
		if (i > 0 && a->asking && (a->upper.report->first || !a->upper.report->lower_changed))
			return 0;
		r = do_step(a, &steps[i]);
	}
	if (r == 0 && !a->upper.dry_run)
		keep_reserve(a);
	return r;
}

static int run(const struct ul_reconcile_options *o, bool asking, struct ul_reconcile_report *report,
	       struct ul_error *err)
{
	struct ul_agreement a = {.o = o,
				 .asking = asking,
				 .store_dir = ul_manifest_store_dir(o->lower.manifest),
				 .store = UL_UPPER_STORE_NONE,
				 .db = {.dir_fd = -1}};
	int r;

	ul_upper_dir_init(&a.upper, o, report, err);
	r = run_parts(&a);
	ul_db_file_close(&a.db);
	ul_upper_store_close(&a.store);
	ul_lower_rows_close(&a.lower);
	ul_upper_dir_close(&a.upper);
	return r;
}

static int refuse(const struct ul_reconcile_report *report, struct ul_error *err)
{
	uint64_t more = report->lost - 1;
	char subject[100] = "it refers to a path";

	if (more > 0)
		snprintf(subject, sizeof(subject), "it and %" PRIu64 " more path%s of the upper refer to paths", more,
			 more == 1 ? "" : "s");
	return ul_error_set(err, UL_E_RECONCILE, what, report->first_lost,
			    "Build it anew on the new image, or set [reconcile] vanished = invalidate.",
			    "%s that this lower does not have", subject);
}

/* vanished = refuse: find out first what would go. */
static int ask_first(const struct ul_reconcile_options *o, struct ul_error *err)
{
	struct ul_reconcile_options dry = *o;
	struct ul_reconcile_report report = {0};
	int r;

	dry.dry_run = true;
	r = run(&dry, true, &report, err);
	if (r == 0 && report.lost > 0)
		r = refuse(&report, err);
	ul_reconcile_report_free(&report);
	return r;
}

int ul_reconcile(const struct ul_reconcile_options *o, struct ul_reconcile_report *ret, struct ul_error *err)
{
	struct ul_error ignored;
	int r;

	*ret = (struct ul_reconcile_report){0};
	if (!err)
		err = &ignored;
	r = o->refuse && !o->dry_run ? ask_first(o, err) : 0;
	return r < 0 ? r : run(o, false, ret, err);
}

/* ---- the clean mark ---- */

/* The greatest id of a database that others may be about to close. The last one to close it brings its log home. */
static int ask_max_id(const char *path, int64_t *ret, struct ul_error *err)
{
	sqlite3 *db = NULL;
	int r = ul_sqlite_open(path, SQLITE_OPEN_READWRITE, &db);

	r = r != SQLITE_OK || sqlite3_busy_timeout(db, 10000) != SQLITE_OK || ul_db_file_max_id(db, ret) < 0
		    ? ul_sqlite_error(err, db, marking, path)
		    : 0;
	sqlite3_close(db);
	return r;
}

int ul_reconcile_mark_clean(int upper_fd, const char *upper_path, bool *ret_marked, struct ul_error *err)
{
	const struct ul_reconcile_options o = {.upper_fd = upper_fd, .upper_path = upper_path};
	struct ul_reconcile_report report = {0};
	struct ul_upper_dir upper;
	struct ul_db_file file;
	int64_t max_id = 0;
	int r;

	*ret_marked = false;
	ul_upper_dir_init(&upper, &o, &report, err);
	if (faccessat(upper_fd, "lower.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ul_upper_dir_fail(&upper, "lower.json", errno);
	r = ul_db_file_init(&file, &upper);
	if (r == 0 && faccessat(upper_fd, UL_DB_FILE_DIR "/" UL_DB_FILE_NAME, F_OK, 0) == 0)
		r = ask_max_id(file.path, &max_id, err);
	if (r == 0 && syncfs(upper_fd) < 0)
		r = ul_upper_dir_fail(&upper, upper_path, errno);
	if (r == 0)
		r = ul_marks_write_clean(&upper, max_id);
	ul_upper_dir_close(&upper);
	ul_reconcile_report_free(&report);
	*ret_marked = r == 0;
	return r;
}
