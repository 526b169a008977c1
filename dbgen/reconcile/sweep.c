/*
 * The sweep: how space comes back. Nix's collector cannot delete a path of the kept layer: where the lower's database is
 * attached it removes the row and leaves the files, for it deletes in its upper layer only. At the next boot nobody looks at
 * the kept layer yet, so what has no row is renamed into the trash. So is what an interrupted build left behind: locks,
 * temporary directories.
 *
 * Only where the database was written to since the last boot; a bounded number of entries, the rest at the next one.
 */
#include "dbgen/reconcile/sweep.h"

#include <stdio.h>
#include <string.h>

#include "common/dir.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/store/store_path.h"

#define SWEPT_AT_A_BOOT 20000

static const char what[] = "sweeping the kept layer";

/* 1: a row names it; 0: none does; -code. */
static int has_row(struct ul_agreement *a, sqlite3 *db, sqlite3_stmt *q, const char *base)
{
	char path[UL_STORE_PATH_SIZE];
	uint8_t digest[UL_DIGEST_SIZE];
	int code;

	if (!ul_store_base_parse(base, strlen(base), digest))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", a->store_dir, base);
	sqlite3_reset(q);
	sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
	code = sqlite3_step(q);
	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : ul_sqlite_error(a->upper.err, db, what, a->db.path);
}

/* Names are taken down first: entries leave the directory that is read. */
static int find_garbage(struct ul_agreement *a, sqlite3 *db, sqlite3_stmt *q, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(a->store.entries.kept, ".", &dir), row;

	while (r >= 0 && ret->n < SWEPT_AT_A_BOOT && (r = ul_dir_next(dir, &entry)) > 0) {
		row = has_row(a, db, q, entry->d_name);
		if (row < 0)
			return row;
		if (row == 0)
			r = ul_names_add(ret, entry->d_name);
	}
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	return r < 0 ? ul_upper_dir_fail(&a->upper, "kept", -r) : 0;
}

static int throw_away(struct ul_agreement *a, const struct ul_names *garbage)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < garbage->n; i++) {
		r = ul_upper_dir_report(&a->upper, UL_RECONCILE_SWEPT, garbage->at[i], "no row names it");
		if (r == 0)
			r = ul_upper_dir_discard(&a->upper, a->store.entries.kept, garbage->at[i]);
	}
	return r;
}

int ul_sweep(struct ul_agreement *a)
{
	ul_autonames struct ul_names garbage = {0};
	ul_autofree char *uri = ul_sqlite_immutable_uri(a->db.path);
	sqlite3_stmt *q = NULL;
	sqlite3 *db = NULL;
	int r;

	if (a->store.entries.kept < 0)
		return 0;
	if (!uri)
		return ul_upper_dir_nomem(&a->upper);
	r = ul_sqlite_open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &db);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(db, "select 1 from ValidPaths where path = ?", -1, &q, NULL);
	r = r == SQLITE_OK ? find_garbage(a, db, q, &garbage) : ul_sqlite_error(a->upper.err, db, what, a->db.path);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return r < 0 ? r : throw_away(a, &garbage);
}
