/*
 * The sweep: how space comes back. Nix's collector cannot delete a path of the kept layer: where the lower's database
 * is attached it removes the row and leaves the files, for it deletes in its upper layer only. At the next boot
 * nobody looks at the kept layer yet, so what has no row is renamed into the trash. So is what an interrupted build
 * left behind: locks, temporary directories.
 *
 * Only where the database was written to since the last boot; a bounded number of entries, the rest at the next one.
 * What a sealed name hides stays: another slot, to which the machine may go back, has it as the upper's own.
 *
 * The rows are read from their table, never looked up by an index: one that has lost a row would cost a valid path its
 * files.
 */
#include "dbgen/reconcile/sweep.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/dir.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/foreign.h"
#include "dbgen/store/store_path.h"

#define SWEPT_AT_A_BOOT 20000

/* Base names of the rows that may name an entry, sorted. 0, -EIO: they cannot be read, or -ENOMEM. */
static int read_rows(struct ul_agreement *a, sqlite3 *db, struct ul_names *ret)
{
	static const char sql[] = "select path, id from ValidPaths not indexed where id > ? order by id";
	ul_autostatement sqlite3_stmt *q = NULL;
	bool rebuilt = a->o->mode == UL_RECONCILE_REBUILD;
	int64_t last = INT64_MIN;
	int code = SQLITE_DONE;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		return -EIO;
	/* Those before it are the lower's. */
	sqlite3_bind_int64(q, 1, rebuilt ? ul_manifest_n_paths(a->lower.manifest) : INT64_MIN);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
		uint8_t digest[UL_DIGEST_SIZE];
		const char *base = ul_db_foreign_base(q, 0, a->store_dir, digest);

		/* A tree that leads in circles. */
		if (sqlite3_column_int64(q, 1) <= last)
			return -EIO;
		last = sqlite3_column_int64(q, 1);
		if (base && ul_names_add(ret, base) < 0)
			return -ENOMEM;
	}
	if (code != SQLITE_DONE)
		return ul_sqlite_code(code) == SQLITE_NOMEM ? -ENOMEM : -EIO;
	ul_names_sort(ret, true);
	return 0;
}

/* 1: a row or the lower has this name; 0; -code. */
static int is_wanted(struct ul_agreement *a, const struct ul_names *rows, const char *base)
{
	uint8_t digest[UL_DIGEST_SIZE];

	if (!ul_store_base_parse(base, strlen(base), digest))
		return 0;
	return ul_names_find(rows, base) ? 1 : ul_lower_rows_has(&a->lower, base, a->upper.err);
}

/* Names are taken down first: entries leave the directory that is read. */
static int find_garbage(struct ul_agreement *a, const struct ul_names *rows, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(a->store.entries.kept, ".", &dir), wanted;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		wanted = is_wanted(a, rows, entry->d_name);
		if (wanted < 0)
			return wanted;
		if (wanted)
			continue;
		if (ret->n == SWEPT_AT_A_BOOT) {
			a->unswept = true;
			return 0;
		}
		r = ul_names_add(ret, entry->d_name);
	}
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	return r < 0 ? ul_upper_dir_fail(&a->upper, "kept", -r) : 0;
}

/* On a full disk what is in the trash goes now: a directory that grows needs a block. */
static int discard(struct ul_agreement *a, const char *name)
{
	struct ul_upper_dir *u = &a->upper;
	int r = ul_upper_dir_discard(u, a->store.entries.kept, name);

	if (r < 0 && ul_errno_is_full(u->err->errnum) && ul_upper_dir_empty_trash(u, UINT_MAX) == 0)
		r = ul_upper_dir_discard(u, a->store.entries.kept, name);
	return r;
}

/* The machine does not need it done now: what cannot be thrown away stays, and on a full disk the rest as well. */
static int throw_away(struct ul_agreement *a, const struct ul_names *garbage)
{
	struct ul_upper_dir *u = &a->upper;
	bool full = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < garbage->n && !full; i++) {
		const char *name = garbage->at[i];

		if (discard(a, name) == 0)
			r = ul_upper_dir_report(u, UL_RECONCILE_SWEPT, name, "no row names it");
		else if (ul_errno_is_full(u->err->errnum))
			full = true;
		else
			r = ul_upper_dir_report(u, UL_RECONCILE_NOTE, name, "it cannot be thrown away: %s",
						strerror(u->err->errnum));
	}
	a->unswept |= full;
	return r;
}

int ul_sweep(struct ul_agreement *a)
{
	ul_autonames struct ul_names rows = {0}, garbage = {0};
	sqlite3 *db = NULL;
	int r;

	if (a->store.entries.kept < 0)
		return 0;
	r = ul_db_file_read(&a->db, &db);
	if (r == 0)
		r = read_rows(a, db, &rows);
	sqlite3_close(db);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	/* No path loses its files because its row cannot be read. */
	if (r < 0)
		return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, UL_DB_FILE_NAME,
					   "not all of its rows can be read: nothing is swept");
	r = find_garbage(a, &rows, &garbage);
	return r < 0 ? r : throw_away(a, &garbage);
}
