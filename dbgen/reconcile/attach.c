/*
 * Attach: Nix reads the lower's own database in place, and the upper's database holds what the upper's paths need:
 * their rows, and copies of the lower's rows that they refer to (Nix's local-overlay store makes a copy, with
 * everything that it refers to, whenever it is asked whether a path of the lower is valid).
 *
 * While the lower is the recorded one and nobody wrote to the database, it stays as it is, at a cost that follows
 * nothing, unless check_always. Else the copies that the upper's paths need are compared with the lower; the others, a
 * whole image's after a collection of Nix's own, go. Where there are none and all is right, the database stays too.
 * Else a new one is written from the rows that stand and from the lower's own word for its paths.
 */
#include <fcntl.h>
#include <string.h>

#include "common/sqlite.h"
#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/anew.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/rows.h"

/*
 * Damage that only a look through the whole database shows. Where it holds copies that nobody needs it may be as large
 * as the lower's, and is written anew for their sake: its indexes, which are most of the work, end with it.
 */
static bool is_sound(sqlite3 *db, bool copies)
{
	const char *sql = copies ? "pragma quick_check(1)" : "pragma integrity_check(1)";
	ul_autostatement sqlite3_stmt *q = NULL;

	return sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW &&
	       !strcmp((const char *)sqlite3_column_text(q, 0), "ok");
}

static bool has_copies(const struct ul_rows *rows)
{
	bool any = false;

	for (size_t i = 0; !any && i < rows->list.n; i++)
		any = rows->list.at[i].lower && !rows->list.at[i].needed;
	return any;
}

static bool must_be_written(const struct ul_rows *rows, bool intact)
{
	if (!intact || rows->damaged)
		return true;
	for (size_t i = 0; i < rows->list.n; i++) {
		const struct ul_row *row = &rows->list.at[i];

		if (row->fate != UL_FATE_KEPT || row->differs || row->stripped || (row->lower && !row->needed))
			return true;
	}
	return false;
}

static int write_database(struct ul_agreement *a, const struct ul_rows *rows)
{
	const struct ul_db_options options = {.durable = true,
					      .carry_from = a->db.path,
					      .carry_all = true,
					      .left_out = ul_db_file_left_out,
					      .user = &a->db};
	const struct ul_rows_source from = {
		.rows = rows, .db = a->db.db, .lower = &a->lower, .store_dir = a->store_dir};
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *m = NULL;
	int r = ul_rows_manifest(&from, &bytes, &m, a->upper.err);

	if (r == 0)
		r = ul_db_file_shut(&a->db);
	if (r == 0)
		r = ul_db_file_build(&a->db, m, &options);
	if (r == 0)
		r = a->db.failure;
	if (r == 0)
		r = ul_rows_written_ids(rows, m, &a->upper_ids, a->upper.err);
	if (r == 0)
		a->db.max_id = ul_manifest_n_paths(m);
	ul_manifest_close(m);
	return r;
}

/* Nix deletes what lies in the way of a path that it builds; what cannot be deleted would be in its way. */
static int quarantine_broken(struct ul_agreement *a, const struct ul_rows *rows)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < rows->list.n; i++)
		if (rows->list.at[i].fate == UL_FATE_BROKEN)
			r = ul_upper_store_quarantine(&a->store, &a->upper, ul_rows_text(rows, rows->list.at[i].base));
	return r;
}

static int agree(struct ul_agreement *a, struct ul_rows *rows)
{
	struct ul_reconcile_report *report = a->upper.report;
	const struct ul_rows_judge judge = {
		.store_dir = a->store_dir,
		.lower = &a->lower,
		.store = &a->store,
		/* A rebuilt database has the realisations of all its lower. */
		.db = a->marks.known && !a->marks.rebuild ? a->db.db : NULL,
		.checked_id = report->was_clean ? INT64_MAX : a->marks.checked_id,
		.before = ul_agree_before(a),
		.err = a->upper.err,
	};
	int r = ul_rows_load(a->db.db, a->store_dir, rows, a->upper.err);

	if (r == 0)
		r = ul_rows_judge(rows, &judge);
	/* All rows of a damaged database are checked, so they are judged again. */
	if (r == 0 && !rows->damaged && !is_sound(a->db.db, has_copies(rows))) {
		rows->damaged = true;
		r = ul_rows_judge(rows, &judge);
	}
	if (r == 0)
		r = ul_rows_report(rows, &a->upper);
	report->upper_paths = 0;
	for (size_t i = 0; i < rows->list.n; i++)
		report->upper_paths += rows->list.at[i].fate == UL_FATE_KEPT && !rows->list.at[i].lower;
	if (r < 0)
		return r;
	ul_rows_upper_ids(rows, &a->upper_ids);
	report->database_kept = !must_be_written(rows, a->db.intact);
	if (report->database_kept)
		return 0;
	r = rows->damaged && !a->db.why[0] ? ul_anew_tell_damaged(a)
					   : ul_anew_tell(a, "not all of its rows are right for this lower");
	if (r < 0 || a->upper.dry_run)
		return r;
	r = quarantine_broken(a, rows);
	return r < 0 ? r : write_database(a, rows);
}

int ul_agree_attached(struct ul_agreement *a)
{
	struct ul_reconcile_report *report = a->upper.report;
	struct ul_rows rows = {.damaged = false};
	int r = ul_db_file_open(&a->db);

	if (r < 0)
		return r;
	report->was_clean = a->marks.clean && a->marks.clean_id == a->db.max_id;
	if (!a->db.db) {
		/* Nix makes a new one, where the file `schema` does not tell it that there is one. */
		report->database_kept = true;
		a->upper_ids = (struct ul_id_ranges){.known = true};
		if (a->db.dir_fd >= 0 && !a->upper.dry_run)
			(void)unlinkat(a->db.dir_fd, "schema", 0);
		return ul_anew_tell_gone(a);
	}
	if (ul_agree_unchanged(a)) {
		report->database_kept = true;
		report->upper_paths = a->marks.upper_paths;
		a->upper_ids = a->marks.upper_ids;
		return 0;
	}
	r = agree(a, &rows);
	a->whole = r == 0 && a->db.intact && !rows.damaged;
	ul_rows_free(&rows);
	return r;
}
