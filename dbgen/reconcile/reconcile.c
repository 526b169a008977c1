/* The order of a reconcile; reconcile.h tells why it is this one. */
#include "dbgen/reconcile/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/sqlite.h"
#include "dbgen/layers/trash.h"
#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/reserve.h"
#include "dbgen/reconcile/roots.h"
#include "dbgen/reconcile/supersede.h"
#include "dbgen/reconcile/sweep.h"
#include "dbgen/reconcile/upper_open.h"

#define REPORT_JSON "report.json"

static const char what[] = "making the upper agree with the lower";
static const char marking[] = "setting the clean mark";

static int begin(struct ul_agreement *a)
{
	const struct ul_reconcile_options *o = a->o;
	struct ul_reconcile_report *report = a->upper.report;
	int r = ul_lower_rows_open(&a->lower, &o->lower, a->upper.err);

	if (r == 0)
		r = ul_db_file_init(&a->db, &a->upper);
	if (r == 0)
		r = ul_marks_read(&a->upper, &a->marks);
	ul_marks_identity(&o->lower, report->identity, sizeof(report->identity));
	report->first = !a->marks.known;
	report->lower_changed = !a->marks.known || strcmp(a->marks.identity, report->identity) != 0 ||
				a->marks.rebuild != (o->mode == UL_RECONCILE_REBUILD);
	return r;
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

/* all: whatever its age is. */
static int empty_quarantine(struct ul_agreement *a, bool all)
{
	const struct ul_quarantine_limits limits = {
		.age = a->o->quarantine_age, .now = time(NULL), .size = a->o->quarantine_size, .all = all};

	int r = ul_quarantine_empty(&a->upper, &limits);

	return r < 0 ? r : ul_upper_dir_empty_trash(&a->upper, all ? UINT_MAX : UL_TRASH_AT_A_BOOT);
}

static uint64_t free_blocks(const struct ul_upper_dir *u)
{
	struct statvfs fs;

	return fstatvfs(u->fd, &fs) < 0 ? 0 : fs.f_bfree;
}

/* The room that is kept for this; then, what was moved to the quarantine or thrown away may be what fills the disk. */
static int make_room(struct ul_agreement *a, int r, bool *ret_emptied)
{
	struct ul_upper_dir *u = &a->upper;
	struct ul_error err;
	uint64_t before;

	if (r == -UL_E_UPPER && !u->dry_run && ul_reserve_release(u))
		r = agree_on_database(a);
	if (r != -UL_E_UPPER || u->dry_run)
		return r;
	err = *u->err;
	*ret_emptied = true;
	before = free_blocks(u);
	if (empty_quarantine(a, true) < 0 || free_blocks(u) <= before) {
		*u->err = err;
		return r;
	}
	return agree_on_database(a);
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

static void keep_reserve(struct ul_agreement *a)
{
	struct stat st;
	uint64_t size = 0;

	if (a->db.dir_fd >= 0 && fstatat(a->db.dir_fd, UL_DB_FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		size = (uint64_t)st.st_size;
	ul_reserve_keep(&a->upper, size);
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
	return ul_marks_write_lower(&a->upper, &a->marks, &now, a->o);
}

/* Everything that went before is on the disk before the files that say so. */
static int finish(struct ul_agreement *a, bool emptied)
{
	struct ul_upper_dir *u = &a->upper;
	const uint64_t *n = u->report->n;
	int r = 0;

	if (u->report->lower_changed || n[UL_RECONCILE_INVALIDATED] > 0)
		r = ul_roots_report(u, &a->store, &a->lower);
	if (r < 0 || u->dry_run)
		return r;
	r = empty_quarantine(a, emptied);
	if (r == 0 && n[UL_RECONCILE_QUARANTINED] + n[UL_RECONCILE_SWEPT] + n[UL_RECONCILE_NOTE] > 0 &&
	    syncfs(u->fd) < 0)
		r = ul_upper_dir_fail(u, u->path, errno);
	if (r == 0 && ul_reconcile_did_something(u->report))
		r = write_report(a);
	if (r == 0)
		r = write_lower(a);
	if (r == 0)
		keep_reserve(a);
	/* Without room for these two the next boot looks again, and finds the same. */
	return r < 0 && u->err->errnum == ENOSPC ? 0 : r;
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

static int run_parts(struct ul_agreement *a)
{
	bool emptied = false;
	int r = begin(a);

	if (r == 0 && a->asking && (a->upper.report->first || !a->upper.report->lower_changed))
		return 0;
	if (r == 0 && !a->upper.dry_run)
		r = ul_marks_remove_clean(&a->upper);
	if (r == 0)
		r = ul_upper_store_open(&a->store, &a->upper);
	if (r == 0)
		r = ul_supersede(a);
	if (r == 0)
		r = make_room(a, agree_on_database(a), &emptied);
	if (r == 0 && may_sweep(a))
		r = ul_sweep(a);
	return r < 0 ? r : finish(a, emptied);
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
