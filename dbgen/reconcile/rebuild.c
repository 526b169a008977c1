/*
 * Rebuild: one plain database holds the lower's paths and the upper's. While the lower is the recorded one, the last
 * shutdown was clean and the database is sane, it is used as it is, at a cost that follows the upper: the lower's
 * rows have the ids 1 to N, in the manifest's order, so the upper's are those above. Otherwise it is written anew
 * from the manifest, the old one's rows merged in (dbgen/database/merge/merge.c); after an unclean shutdown too,
 * since a collection that was cut may have left paths of the lower invalid.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/foreign.h"
#include "dbgen/database/rows/row.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/anew.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/report.h"
#include "dbgen/reconcile/rows.h"

#define SALVAGE "salvage" /* on the upper: the database that a damaged one becomes */

static const char what[] = "making the upper agree with the lower";

struct rebuild {
	struct ul_agreement *a;
	struct ul_names broken; /* base names, sorted */
	bool old;               /* there is a database that it replaces */
	bool salvaged;          /* what is merged was judged already, and has ids of its own */
	int failure;            /* of a callback */
};

/* ---- may the old one stay? ---- */

/* Row `number` of the manifest is in the database with its id and hash. */
static bool row_agrees(struct ul_agreement *a, sqlite3_stmt *q, uint32_t number)
{
	struct ul_batch_reader *reader = ul_batch_reader_new(a->lower.manifest);
	struct ul_db_row_buffer buffer = {0};
	struct ul_db_row row;
	struct ul_batch batch;
	struct ul_error err;
	bool agrees = false;

	sqlite3_reset(q);
	sqlite3_bind_int64(q, 1, (int64_t)number + 1);
	if (reader && ul_db_row_buffer_init(&buffer, a->store_dir, &err) == 0 &&
	    ul_manifest_read_batch(reader, number / UL_MANIFEST_BATCH, UL_COL_ALL, &batch, &err) == 0 &&
	    ul_db_row(&buffer, &batch, number - batch.first, &row, &err) == 0 && sqlite3_step(q) == SQLITE_ROW)
		agrees = sqlite3_column_bytes(q, 0) == row.path_len &&
			 !memcmp(sqlite3_column_text(q, 0), row.path, (size_t)row.path_len) &&
			 sqlite3_column_bytes(q, 1) == row.hash_len &&
			 !memcmp(sqlite3_column_text(q, 1), row.hash, (size_t)row.hash_len);
	ul_db_row_buffer_free(&buffer);
	ul_batch_reader_free(reader);
	return agrees;
}

/* A few rows of the lower: against accidents, and a database that was swapped for another image's. */
static bool samples_agree(struct ul_agreement *a)
{
	uint32_t n = ul_manifest_n_paths(a->lower.manifest);
	ul_autostatement sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(a->db.db, "select path, hash from ValidPaths where id = ?", -1, &q, NULL) != SQLITE_OK)
		return false;
	return n == 0 || (row_agrees(a, q, 0) && row_agrees(a, q, n / 2) && row_agrees(a, q, n - 1));
}

/* Every path of the upper is there. */
static bool upper_is_there(struct ul_agreement *a)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	bool there = true;
	int code = SQLITE_DONE;

	if (sqlite3_prepare_v2(a->db.db, "select path from ValidPaths where id > ?", -1, &q, NULL) != SQLITE_OK)
		return false;
	sqlite3_bind_int64(q, 1, ul_manifest_n_paths(a->lower.manifest));
	a->upper.report->upper_paths = 0;
	while (there && (code = sqlite3_step(q)) == SQLITE_ROW) {
		uint8_t digest[UL_DIGEST_SIZE];
		const char *base = ul_db_foreign_base(q, 0, a->store_dir, digest);

		there = base && (ul_upper_store_has(&a->store, base) ||
				 ul_manifest_has_digest(a->lower.manifest, base, NULL) > 0);
		a->upper.report->upper_paths++;
	}
	return there && code == SQLITE_DONE;
}

static bool may_stay(struct ul_agreement *a)
{
	const struct ul_reconcile_report *report = a->upper.report;

	if (!a->db.db || !a->db.intact || report->lower_changed || a->o->check_always || !samples_agree(a))
		return false;
	if (!ul_agree_unchanged(a))
		return report->was_clean && upper_is_there(a);
	/* So nothing lost its row either. */
	a->whole = false;
	a->upper.report->upper_paths = a->marks.upper_paths;
	return true;
}

/* ---- half-written paths ---- */

static int check_row(struct rebuild *b, sqlite3_stmt *q)
{
	struct ul_agreement *a = b->a;
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base = ul_db_foreign_base(q, 0, a->store_dir, digest);
	struct ul_db_foreign values;
	int r;

	/* Malformed rows, and rows without files, fall without being looked into. */
	if (!base || !ul_db_foreign_read(q, 1, a->store_dir, &values) || !ul_upper_store_has(&a->store, base))
		return 0;
	r = ul_upper_store_check(&a->store, base, values.nar_hash, values.nar_size, a->upper.err);
	if (r != 0)
		return r < 0 ? r : 0;
	return ul_names_add(&b->broken, base) < 0 ? ul_upper_dir_nomem(&a->upper) : 0;
}

static int find_broken(struct rebuild *b)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(b->a->db.db, "select path, " UL_DB_FOREIGN_COLUMNS " from ValidPaths where id > ?", -1,
			       &q, NULL) != SQLITE_OK)
		return 0;
	sqlite3_bind_int64(q, 1, b->a->marks.checked_id);
	while (r == 0 && sqlite3_step(q) == SQLITE_ROW)
		r = check_row(b, q);
	ul_names_sort(&b->broken, true);
	return r;
}

/* ---- writing it ---- */

static bool exists(void *user, const char *path)
{
	struct rebuild *b = user;
	const char *base = ul_store_base_of(b->a->store_dir, path);

	return base && ul_upper_store_has(&b->a->store, base) && !ul_names_find(&b->broken, base);
}

static void dropped(void *user, const char *path, enum ul_db_drop why)
{
	static const enum ul_fate fates[] = {
		[UL_DB_MALFORMED] = UL_FATE_MALFORMED,
		[UL_DB_MISSING] = UL_FATE_GONE,
		[UL_DB_VANISHED] = UL_FATE_VANISHED,
		[UL_DB_REFERENCE] = UL_FATE_REFERENCE,
	};
	struct rebuild *b = user;
	const char *name = ul_fate_name(b->a->store_dir, path);
	bool broken = why == UL_DB_MISSING && ul_names_find(&b->broken, name);

	if (b->failure == 0)
		b->failure = ul_fate_report(&b->a->upper, name, broken ? UL_FATE_BROKEN : fates[why]);
}

static bool was_lowers(void *user, int64_t id, const char *path)
{
	const struct rebuild *b = user;
	const struct ul_marks *before = ul_agree_before(b->a);
	const char *base = path ? ul_store_base_of(b->a->store_dir, path) : NULL;

	return before && ul_marks_was_lowers(before, id, base && !ul_names_find(&b->broken, base));
}

static void updated(void *user, const char *path)
{
	struct rebuild *b = user;

	if (b->failure == 0)
		b->failure = ul_fate_report_updated(&b->a->upper, ul_fate_name(b->a->store_dir, path));
}

static void left_out(void *user, const char *name, const char *why)
{
	struct rebuild *b = user;

	ul_db_file_left_out(&b->a->db, name, why);
}

static int build(struct rebuild *b, const char *merge_from)
{
	struct ul_agreement *a = b->a;
	const struct ul_db_options options = {.durable = true,
					      .merge_from = merge_from,
					      .exists = exists,
					      .dropped = dropped,
					      .was_lowers = b->salvaged ? NULL : was_lowers,
					      .updated = updated,
					      .carry_from = b->old ? a->db.path : NULL,
					      .left_out = left_out,
					      .user = b};
	int r;

	if (a->upper.dry_run)
		r = ul_db_try_merge(a->lower.manifest, &options, a->upper.err);
	else
		r = ul_db_file_build(&a->db, a->lower.manifest, &options);
	if (r == 0)
		r = a->db.failure;
	return r < 0 ? r : b->failure;
}

/* The rows of a damaged database that its files bear out, as a manifest. */
static int gather_salvage(struct ul_agreement *a, struct ul_buffer *bytes, struct ul_manifest **ret)
{
	const struct ul_rows_judge judge = {
		.store_dir = a->store_dir,
		.lower = &a->lower,
		.store = &a->store,
		.before = ul_agree_before(a),
		.err = a->upper.err,
	};
	struct ul_rows rows = {.damaged = false};
	const struct ul_rows_source from = {
		.rows = &rows, .db = a->db.db, .lower = &a->lower, .store_dir = a->store_dir};
	int r = ul_rows_load(a->db.db, a->store_dir, &rows, a->upper.err);

	rows.damaged = true;
	if (r == 0)
		r = ul_rows_judge(&rows, &judge);
	if (r == 0)
		r = ul_rows_report(&rows, &a->upper);
	if (r == 0)
		r = ul_rows_manifest(&from, bytes, ret, a->upper.err);
	ul_rows_free(&rows);
	return r;
}

/* The rows of a damaged database that stand, as a database beside it. *ret_path: NULL: no rows, or a dry run. */
static int salvage(struct rebuild *b, char **ret_path)
{
	struct ul_agreement *a = b->a;
	struct ul_upper_dir *u = &a->upper;
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *dir = ul_path_join(u->path, SALVAGE);
	struct ul_manifest *m = NULL;
	int r = dir ? ul_db_file_open(&a->db) : ul_upper_dir_nomem(u);

	if (r == 0 && a->db.db) {
		r = gather_salvage(a, &bytes, &m);
		sqlite3_close(ul_steal(a->db.db));
	}
	if (r == 0 && m && !u->dry_run) {
		(void)ul_remove_tree(u->fd, SALVAGE);
		if (mkdirat(u->fd, SALVAGE, 0700) < 0)
			r = ul_upper_dir_fail(u, SALVAGE, errno);
		else
			r = ul_upper_dir_error(u, ul_db_build(m, u->fd, SALVAGE, NULL, u->err));
		*ret_path = r == 0 ? ul_path_join(dir, UL_DB_FILE_NAME) : NULL;
	}
	ul_manifest_close(m);
	return r;
}

static int build_from_damaged(struct rebuild *b)
{
	struct ul_upper_dir *u = &b->a->upper;
	ul_autofree char *path = NULL;
	int r;

	b->a->whole = false;
	b->salvaged = true;
	r = ul_anew_tell_damaged(b->a);
	if (r == 0)
		r = salvage(b, &path);
	if (r == 0 && !u->dry_run)
		r = build(b, path);
	if (!u->dry_run)
		(void)ul_remove_tree(u->fd, SALVAGE);
	return r;
}

static int rewrite(struct rebuild *b)
{
	struct ul_agreement *a = b->a;
	struct ul_report_mark before;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->broken.n; i++)
		r = ul_upper_store_quarantine(&a->store, &a->upper, b->broken.at[i]);
	if (r < 0)
		return r;
	before = ul_report_mark(a->upper.report);
	r = build(b, b->old ? a->db.path : NULL);
	if (r != -UL_E_DATABASE || !b->old)
		return r;
	ul_report_forget_verdicts(a->upper.report, &before);
	return build_from_damaged(b);
}

static void record_ids(struct ul_agreement *a)
{
	a->upper_ids = (struct ul_id_ranges){.known = true};
	if (a->db.max_id < INT64_MAX)
		ul_id_ranges_add(&a->upper_ids, (int64_t)ul_manifest_n_paths(a->lower.manifest) + 1, a->db.max_id + 1);
}

/* What is new in it once it is written: the lower's rows come first, with ids without a gap. */
static int count_rows(struct ul_agreement *a)
{
	sqlite3 *db = NULL;
	int64_t lower = ul_manifest_n_paths(a->lower.manifest);
	int r = 0;

	if (ul_sqlite_open(a->db.path, SQLITE_OPEN_READWRITE, &db) != SQLITE_OK ||
	    ul_db_file_max_id(db, &a->db.max_id) < 0)
		r = ul_sqlite_error(a->upper.err, db, what, a->db.path);
	sqlite3_close(db);
	a->upper.report->upper_paths = a->db.max_id > lower ? (uint64_t)(a->db.max_id - lower) : 0;
	record_ids(a);
	return r;
}

/* Why it does not stay, where nothing is wrong with the file. */
static const char *ordinary_reason(const struct ul_agreement *a)
{
	const struct ul_reconcile_report *report = a->upper.report;

	if (report->lower_changed)
		return "the lower is another one";
	if (a->o->check_always)
		return "the policy believes none";
	if (!report->was_clean)
		return "the last shutdown was not clean";
	return "rows of it are not those of this lower, or have no files";
}

int ul_agree_rebuilt(struct ul_agreement *a)
{
	struct ul_reconcile_report *report = a->upper.report;
	struct rebuild b = {.a = a};
	int r = ul_db_file_open(&a->db);

	report->was_clean = a->marks.clean && a->marks.clean_id == a->db.max_id;
	b.old = a->db.db;
	a->whole = a->db.db && a->db.intact;
	if (r == 0 && may_stay(a)) {
		report->database_kept = true;
		record_ids(a);
		return ul_db_file_shut(&a->db);
	}
	if (r == 0)
		r = b.old ? ul_anew_tell(a, ordinary_reason(a)) : ul_anew_tell_gone(a);
	if (r == 0 && b.old && !report->was_clean)
		r = find_broken(&b);
	if (r == 0)
		r = ul_db_file_shut(&a->db);
	if (r == 0)
		r = rewrite(&b);
	if (r == 0 && !a->upper.dry_run)
		r = count_rows(a);
	ul_names_free(&b.broken);
	return r;
}
