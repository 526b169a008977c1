/*
 * Rebuild: one plain database holds the lower's paths and the upper's. While the lower is the recorded one, the last
 * shutdown was clean and the database is sane, it is used as it is, at a cost that follows the upper: the lower's rows
 * have the ids 1 to N, in the manifest's order, so the upper's are those above. Otherwise it is written anew from the
 * manifest, the old one's rows merged in (dbgen/database/merge/merge.c): after an unclean shutdown too, since a collection that was cut
 * may have left paths of the lower invalid.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/encoding.h"
#include "common/file.h"
#include "dbgen/database/db.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/internal.h"

#define SALVAGE "salvage" /* on the upper: the database that a damaged one becomes */

struct rebuild {
	struct ul_rc *c;
	struct ul_buffer broken; /* char *, owned: base names, sorted */
	int failure;             /* of a callback */
};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_broken(const struct rebuild *b, const char *base)
{
	return b->broken.len > 0 &&
	       bsearch(&base, b->broken.data, b->broken.len / sizeof(char *), sizeof(char *), compare_texts);
}

/* ---- may the old one stay? ---- */

/* Row `number` of the manifest is in the database with its id and hash. */
static bool row_agrees(struct ul_rc *c, sqlite3_stmt *q, uint32_t number)
{
	struct ul_batch_reader *reader = ul_batch_reader_new(c->o->lower.manifest);
	struct ul_db_row_buffer buffer = {0};
	struct ul_db_row row;
	struct ul_batch batch;
	struct ul_error err;
	bool agrees = false;

	sqlite3_reset(q);
	sqlite3_bind_int64(q, 1, (int64_t)number + 1);
	if (reader && ul_db_row_buffer_init(&buffer, c->store_dir, &err) == 0 &&
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
static bool samples_agree(struct ul_rc *c, sqlite3 *db)
{
	uint32_t n = ul_manifest_n_paths(c->o->lower.manifest);
	ul_autostatement sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(db, "select path, hash from ValidPaths where id = ?", -1, &q, NULL) != SQLITE_OK)
		return false;
	return n == 0 || (row_agrees(c, q, 0) && row_agrees(c, q, n / 2) && row_agrees(c, q, n - 1));
}

/* Every path of the upper is there. */
static bool upper_is_there(struct ul_rc *c, sqlite3 *db)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	bool there = true;
	int code = SQLITE_DONE;

	if (sqlite3_prepare_v2(db, "select path from ValidPaths where id > ?", -1, &q, NULL) != SQLITE_OK)
		return false;
	sqlite3_bind_int64(q, 1, ul_manifest_n_paths(c->o->lower.manifest));
	while (there && (code = sqlite3_step(q)) == SQLITE_ROW) {
		const char *path = (const char *)sqlite3_column_text(q, 0);
		const char *base = path ? ul_store_base_of(c->store_dir, path) : NULL;

		there = base && (ul_rc_has_entry(c, base) || ul_manifest_has_digest(c->o->lower.manifest, base));
		c->report->upper_paths++;
	}
	return there && code == SQLITE_DONE;
}

static bool may_stay(struct ul_rc *c, sqlite3 *db, bool intact)
{
	return db && intact && c->schema_right && !c->report->lower_changed && c->report->was_clean && !c->shadowed &&
	       !c->o->check_always && samples_agree(c, db) && upper_is_there(c, db);
}

/* ---- half-written paths ---- */

static int check_row(struct rebuild *b, sqlite3_stmt *q)
{
	const char *path = (const char *)sqlite3_column_text(q, 0);
	const char *base = path ? ul_store_base_of(b->c->store_dir, path) : NULL;
	const char *hash = (const char *)sqlite3_column_text(q, 1);
	uint8_t wanted[UL_NAR_HASH_SIZE] = {0};
	char *name;
	int r;

	/* Rows that are none, and rows without files, fall without being looked into. */
	if (!base || !hash || strncmp(hash, "sha256:", 7) != 0 ||
	    !ul_hex_decode(hash + 7, strlen(hash + 7), wanted, sizeof(wanted)) || !ul_rc_has_entry(b->c, base))
		return 0;
	r = ul_rc_check_nar(b->c, base, wanted, (uint64_t)sqlite3_column_int64(q, 2));
	if (r != 0)
		return r < 0 ? r : 0;
	name = strdup(base);
	if (!name || ul_buffer_append(&b->broken, &name, sizeof(name)) < 0) {
		free(name);
		return ul_rc_nomem(b->c);
	}
	return 0;
}

static int find_broken(struct rebuild *b, sqlite3 *db)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "select path, hash, narSize from ValidPaths where id > ?", -1, &q, NULL) !=
	    SQLITE_OK)
		return 0;
	sqlite3_bind_int64(q, 1, b->c->before.checked_id);
	while (r == 0 && sqlite3_step(q) == SQLITE_ROW)
		r = check_row(b, q);
	if (b->broken.len > 0)
		qsort(b->broken.data, b->broken.len / sizeof(char *), sizeof(char *), compare_texts);
	return r;
}

/* ---- writing it ---- */

static bool exists(void *user, const char *path)
{
	struct rebuild *b = user;
	const char *base = ul_store_base_of(b->c->store_dir, path);

	return base && ul_rc_has_entry(b->c, base) && !is_broken(b, base);
}

static void dropped(void *user, const char *path)
{
	struct rebuild *b = user;
	const char *base = ul_store_base_of(b->c->store_dir, path);
	enum ul_rc_fate fate = UL_RC_REFERENCE;

	if (!base)
		fate = UL_RC_MALFORMED;
	else if (is_broken(b, base))
		fate = UL_RC_BROKEN;
	else if (!ul_rc_has_entry(b->c, base))
		fate = UL_RC_GONE;
	if (b->failure == 0)
		b->failure = ul_rc_report_invalid(b->c, base ? base : path, fate);
}

/* The directory, where it is not there yet. */
static int make_directory(struct ul_rc *c)
{
	static const char *const parts[] = {"var", "nix", "db"};
	int fd = c->o->upper_fd;

	for (size_t i = 0; c->db_fd < 0 && i < UL_ARRAY_SIZE(parts); i++) {
		int next, error;

		if (mkdirat(fd, parts[i], 0755) < 0 && errno != EEXIST)
			next = -1;
		else
			next = openat(fd, parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = errno;
		if (fd != c->o->upper_fd)
			close(fd);
		if (next < 0)
			return ul_rc_fail_upper(c, UL_RC_DB_DIR, error);
		fd = next;
	}
	if (c->db_fd < 0)
		c->db_fd = fd;
	return 0;
}

static int build(struct rebuild *b, const char *merge_from)
{
	struct ul_rc *c = b->c;
	struct ul_db_options options = {
		.durable = true, .merge_from = merge_from, .exists = exists, .dropped = dropped, .user = b};
	struct ul_db_source source;
	int r;

	if (c->o->dry_run) {
		r = ul_db_source_open(&source, c->o->lower.manifest, &options, c->err);
		ul_db_source_close(&source);
	} else {
		r = ul_rc_upper_error(c, ul_db_build(c->o->lower.manifest, c->db_fd, ".", &options, c->err));
	}
	return r < 0 ? r : b->failure;
}

/* What stands of a damaged database, as one of its own beside it. */
static int salvage(struct rebuild *b, char **ret_path)
{
	struct ul_rc *c = b->c;
	struct ul_rc_rows rows = {.damaged = false};
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *dir = ul_path_join(c->o->upper_path, SALVAGE);
	struct ul_manifest *m = NULL;
	sqlite3 *db = NULL;
	bool intact;
	int r = dir ? ul_rc_db_open(c, &db, &intact) : ul_rc_nomem(c);

	if (r == 0 && db) {
		r = ul_rc_rows_load(c, db, &rows);
		rows.damaged = true;
		if (r == 0)
			r = ul_rc_rows_judge(c, &rows, true);
		if (r == 0)
			r = ul_rc_rows_report(c, &rows);
		if (r == 0)
			r = ul_rc_rows_manifest(c, db, &rows, true, &bytes, &m);
	}
	sqlite3_close(db);
	ul_rc_rows_free(&rows);
	if (r == 0 && m) {
		(void)ul_remove_tree(c->o->upper_fd, SALVAGE);
		if (mkdirat(c->o->upper_fd, SALVAGE, 0700) < 0)
			r = ul_rc_fail_upper(c, SALVAGE, errno);
		else
			r = ul_rc_upper_error(c, ul_db_build(m, c->o->upper_fd, SALVAGE, NULL, c->err));
		*ret_path = r == 0 ? ul_path_join(dir, "db.sqlite") : NULL;
	}
	ul_manifest_close(m);
	return r;
}

static int build_from_damaged(struct rebuild *b)
{
	struct ul_rc *c = b->c;
	ul_autofree char *path = NULL;
	int r = ul_rc_report(c, UL_RECONCILE_NOTE, "db.sqlite",
			     "it is damaged: the rows that its files bear out are kept");

	/* The directory's descriptor is made anew when the database is opened again. */
	ul_cleanup_close(&c->db_fd);
	c->db_fd = -1;
	if (r == 0)
		r = salvage(b, &path);
	if (r == 0)
		r = make_directory(c);
	if (r == 0 && !c->o->dry_run)
		r = build(b, path);
	if (!c->o->dry_run)
		(void)ul_remove_tree(c->o->upper_fd, SALVAGE);
	return r;
}

static int rewrite(struct rebuild *b, bool merge)
{
	struct ul_rc *c = b->c;
	uint64_t lost = c->lost;
	int r = c->o->dry_run ? 0 : make_directory(c);

	for (size_t i = 0; r == 0 && i < b->broken.len / sizeof(char *); i++)
		r = ul_rc_remove_broken(c, ((char **)(void *)b->broken.data)[i]);
	if (r == 0)
		r = build(b, merge ? c->db_path : NULL);
	return r == -UL_E_DATABASE && merge && c->lost == lost ? build_from_damaged(b) : r;
}

/* The greatest id once it is written. */
static int read_max_id(struct ul_rc *c)
{
	sqlite3 *db = NULL;
	int r = 0;

	if (ul_sqlite_open(c->db_path, SQLITE_OPEN_READWRITE, &db) != SQLITE_OK || ul_rc_db_max_id(db, &c->max_id) < 0)
		r = ul_sqlite_error(c->err, db, ul_rc_what, c->db_path);
	sqlite3_close(db);
	return r;
}

int ul_rc_rebuild(struct ul_rc *c)
{
	struct rebuild b = {.c = c};
	sqlite3 *db = NULL;
	bool intact = false, merge;
	int r = ul_rc_db_open(c, &db, &intact);

	if (r == 0 && db)
		(void)ul_rc_db_max_id(db, &c->max_id);
	c->report->was_clean = c->marked && c->marked_id == c->max_id;
	merge = db;
	if (r == 0 && may_stay(c, db, intact)) {
		c->report->database_kept = true;
		return ul_rc_db_close(c, db);
	}
	if (r == 0 && db && !c->report->was_clean)
		r = find_broken(&b, db);
	if (sqlite3_close(db) != SQLITE_OK && r == 0)
		r = ul_sqlite_error(c->err, db, ul_rc_what, c->db_path);
	if (r == 0)
		r = rewrite(&b, merge);
	if (r == 0 && !c->o->dry_run)
		r = read_max_id(c);
	for (size_t i = 0; i < b.broken.len / sizeof(char *); i++)
		free(((char **)(void *)b.broken.data)[i]);
	ul_buffer_free(&b.broken);
	return r;
}
