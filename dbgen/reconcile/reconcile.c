/* The order of a reconcile; reconcile.h tells why it is this one. */
#include "dbgen/reconcile/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/reconcile/internal.h"

#define REPORT_JSON "report.json"

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

static int begin(struct ul_rc *c)
{
	const struct ul_reconcile_options *o = c->o;
	char *identity = c->report->identity;
	int r = ul_rc_lower_open(&c->lower, &o->lower, c->err);

	if (r == 0 && (size_t)snprintf(c->db_path, sizeof(c->db_path), "%s/" UL_RC_DB_DIR "/db.sqlite",
				       o->upper_path) >= sizeof(c->db_path))
		r = ul_rc_fail_upper(c, o->upper_path, ENAMETOOLONG);
	if (r == 0)
		r = ul_rc_identity_read(c);
	if (r == 0)
		r = ul_rc_mark_read(c, &c->marked, &c->marked_id);
	ul_rc_identity_of(&o->lower, identity, sizeof(c->report->identity));
	c->report->first = !c->before.known;
	c->report->lower_changed = !c->before.known || strcmp(c->before.identity, identity) != 0 ||
				   c->before.rebuild != (o->mode == UL_RECONCILE_REBUILD);
	return r;
}

static int agree_in_mode(struct ul_rc *c)
{
	return c->o->mode == UL_RECONCILE_ATTACH ? ul_rc_attach(c) : ul_rc_rebuild(c);
}

static int agree_on_database(struct ul_rc *c)
{
	uint64_t start = ul_now_us();
	int r = agree_in_mode(c);

	/*
	 * Rows that contradict each other in a way that no row alone shows. The machine starts without them rather
	 * than not at all. (What is wrong with the lower's own database has another code, or another mode.)
	 */
	if (!c->o->dry_run && c->db_fd >= 0 &&
	    (r == -UL_E_INPUT || (r == -UL_E_DATABASE && c->o->mode == UL_RECONCILE_REBUILD))) {
		char why[300];

		snprintf(why, sizeof(why), "nothing can be made of it: %.200s", c->err->why);
		r = ul_rc_db_quarantine(c, why);
		ul_cleanup_close(&c->db_fd);
		c->db_fd = -1;
		if (r == 0)
			r = agree_in_mode(c);
	}
	c->report->database_us += ul_now_us() - start;
	return r;
}

static int try_again(struct ul_rc *c)
{
	ul_cleanup_close(&c->db_fd);
	c->db_fd = -1;
	return agree_on_database(c);
}

/* The room that is kept for this; then, what was moved to the quarantine may be what fills the disk. */
static int make_room(struct ul_rc *c, int r)
{
	struct ul_error err;

	if (r == -UL_E_UPPER && !c->o->dry_run && ul_rc_reserve_release(c))
		r = try_again(c);
	if (r != -UL_E_UPPER || c->o->dry_run)
		return r;
	err = *c->err;
	c->desperate = true;
	if (ul_rc_quarantine_empty(c) < 0 || c->report->emptied == 0) {
		*c->err = err;
		return r;
	}
	return try_again(c);
}

static int write_report(struct ul_rc *c)
{
	ul_autojson struct json_object *obj =
		ul_reconcile_report_json(c->report, c->o->lower.name, c->o->lower.version, UL_RECONCILE_LISTED);
	const char *text = NULL;
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm tm;
	int r;

	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (obj && ul_json_add_uint(obj, "format", 1) && ul_json_add_string(obj, "time", stamp))
		text = json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return ul_rc_nomem(c);
	r = ul_rc_make_way(c, c->o->upper_fd, REPORT_JSON);
	if (r < 0)
		return r;
	r = ul_write_file_atomic(c->o->upper_fd, REPORT_JSON, 0644, text, strlen(text));
	return r < 0 ? ul_rc_fail_upper(c, REPORT_JSON, -r) : 0;
}

/* Everything that went before is on the disk before the files that say so. */
static int finish(struct ul_rc *c)
{
	struct ul_reconcile_report *report = c->report;
	int r = 0;

	if (report->lower_changed || report->n[UL_RECONCILE_INVALIDATED] > 0)
		r = ul_rc_roots(c);
	if (r < 0 || c->o->dry_run)
		return r;
	r = ul_rc_quarantine_empty(c);
	if (r == 0 &&
	    (report->n[UL_RECONCILE_QUARANTINED] > 0 || report->n[UL_RECONCILE_WHITEOUT] > 0 ||
	     report->n[UL_RECONCILE_NOTE] > 0) &&
	    syncfs(c->o->upper_fd) < 0)
		r = ul_rc_fail_upper(c, c->o->upper_path, errno);
	if (r == 0 && ul_reconcile_did_something(report))
		r = write_report(c);
	if (r == 0)
		r = ul_rc_identity_write(c);
	if (r == 0)
		ul_rc_reserve_keep(c);
	/* Without room for these two the next boot looks again, and finds the same. */
	return r < 0 && c->err->errnum == ENOSPC ? 0 : r;
}

static int run(struct ul_rc *c)
{
	int r = begin(c);

	if (r == 0 && !c->o->dry_run)
		r = ul_rc_mark_remove(c);
	if (r == 0)
		r = ul_rc_shadow(c);
	if (r == 0)
		r = make_room(c, agree_on_database(c));
	return r < 0 ? r : finish(c);
}

static int run_with(const struct ul_reconcile_options *o, struct ul_reconcile_report *ret, struct ul_rc *c,
		    struct ul_error *err)
{
	int r;

	*c = (struct ul_rc){.o = o,
			    .report = ret,
			    .err = err,
			    .store_dir = ul_manifest_store_dir(o->lower.manifest),
			    .store_fd = -1,
			    .db_fd = -1,
			    .quarantine_fd = -1,
			    .run_fd = -1};
	r = run(c);
	ul_rc_lower_close(&c->lower);
	ul_cleanup_close(&c->store_fd);
	ul_cleanup_close(&c->db_fd);
	ul_cleanup_close(&c->run_fd);
	ul_cleanup_close(&c->quarantine_fd);
	ul_buffer_free(&c->names);
	ul_buffer_free(&c->entries);
	return r;
}

/* vanished = refuse: find out first what would go. */
static int ask_first(const struct ul_reconcile_options *o, struct ul_error *err)
{
	struct ul_reconcile_options dry = *o;
	struct ul_reconcile_report report = {0};
	struct ul_rc c;
	int r;

	dry.dry_run = true;
	r = run_with(&dry, &report, &c, err);
	if (r == 0 && c.before.known && report.lower_changed && c.lost > 0)
		r = ul_error_set(err, UL_E_RECONCILE, ul_rc_what, c.lost_name,
				 "Build it anew on the new image, or set [reconcile] vanished = "
				 "invalidate.",
				 "it and %" PRIu64 " more paths of the upper refer to paths that this "
				 "lower does not have",
				 c.lost - 1);
	ul_reconcile_report_free(&report);
	return r;
}

int ul_reconcile(const struct ul_reconcile_options *o, struct ul_reconcile_report *ret, struct ul_error *err)
{
	struct ul_error ignored;
	struct ul_rc c;
	int r;

	*ret = (struct ul_reconcile_report){0};
	if (!err)
		err = &ignored;
	r = o->refuse && !o->dry_run ? ask_first(o, err) : 0;
	return r < 0 ? r : run_with(o, ret, &c, err);
}

/* ---- the clean mark ---- */

int ul_reconcile_mark_clean(int upper_fd, const char *upper_path, bool *ret_marked, struct ul_error *err)
{
	struct ul_reconcile_options o = {.upper_fd = upper_fd, .upper_path = upper_path};
	struct ul_reconcile_report report = {0};
	struct ul_rc c = {.o = &o, .report = &report, .err = err};
	int64_t max_id = 0;
	sqlite3 *db = NULL;
	int r;

	*ret_marked = false;
	if (faccessat(upper_fd, "lower.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ul_rc_fail_upper(&c, "lower.json", errno);
	snprintf(c.db_path, sizeof(c.db_path), "%s/" UL_RC_DB_DIR "/db.sqlite", upper_path);
	r = faccessat(upper_fd, UL_RC_DB_DIR "/db.sqlite", F_OK, 0);
	if (r == 0) {
		r = ul_sqlite_open(c.db_path, SQLITE_OPEN_READWRITE, &db);
		r = r != SQLITE_OK || sqlite3_busy_timeout(db, 10000) != SQLITE_OK || ul_rc_db_max_id(db, &max_id) < 0
			    ? ul_sqlite_error(err, db, "setting the clean mark", c.db_path)
			    : 0;
		/* The last one to close the database brings its log home. */
		sqlite3_close(db);
		if (r < 0)
			return r;
	}
	if (syncfs(upper_fd) < 0)
		return ul_rc_fail_upper(&c, upper_path, errno);
	r = ul_rc_mark_write(&c, max_id);
	*ret_marked = r == 0;
	return r;
}
