/*
 * The saved rows of what comes back, in the upper's database, before it is judged: in place, in one transaction, for
 * what comes then, judging, comparing and writing anew, reads it in both modes. A path that has a row of another
 * lower's keeps its id, to which others refer.
 *
 * A path of this lower that they refer to may have no row yet. It gets what the lower says of it, and so does all that
 * it refers to: attached, what Nix itself would copy; rebuilt, what the manifest says, so that nothing of it counts as
 * said otherwise (dbgen/database/merge/needed.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/file.h"
#include "common/names.h"
#include "common/sqlite.h"
#include "dbgen/reconcile/restore.h"
#include "dbgen/store/hash_text.h"

#define ROOM_WANTED  (64 << 20) /* bytes free on a disk that is not full, besides the database's own size */
#define FILES_WANTED 16

static const char what[] = "bringing back what was superseded";

static int by_base_alone(const void *a, const void *b)
{
	const struct ul_returning *x = a, *y = b;

	return strcmp(x->base, y->base);
}

struct ul_returning *ul_returning_find(const struct ul_returning_list *list, const char *base)
{
	char *name = (char *)base;
	const struct ul_returning key = {.base = name};
	struct ul_returning *found = list->n == 0 ? NULL : bsearch(&key, list->at, list->n, sizeof(key), by_base_alone);

	return found && !found->dropped ? found : NULL;
}

struct writing {
	struct ul_agreement *a;
	sqlite3_stmt *find, *insert, *update, *no_refs, *ref, *no_outputs, *output;
	struct ul_names lower; /* base names of the lower's paths whose references are still to be written */
};

/* SQLite says so of tables whose numbers are used up as well, for which no room is to be made. */
static bool is_disk_full(const struct ul_agreement *a)
{
	struct statvfs fs;
	struct stat st;
	uint64_t wanted = ROOM_WANTED;

	if (fstatvfs(a->upper.fd, &fs) < 0)
		return false;
	if (a->db.dir_fd >= 0 && fstatat(a->db.dir_fd, UL_DB_FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		wanted += (uint64_t)st.st_size;
	return fs.f_bfree < wanted / (fs.f_frsize ? fs.f_frsize : 1) || (fs.f_files > 0 && fs.f_ffree < FILES_WANTED);
}

static int fail(struct writing *w)
{
	int code = ul_sqlite_code(sqlite3_errcode(w->a->db.db)) & 0xff;

	if (code == SQLITE_NOMEM)
		return ul_upper_dir_nomem(&w->a->upper);
	/* Only room can be made. */
	if ((code == SQLITE_FULL || ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) &&
				     ul_errno_is_full(sqlite3_system_errno(w->a->db.db)))) &&
	    is_disk_full(w->a))
		return ul_db_file_fail(&w->a->db);
	(void)ul_sqlite_error(w->a->upper.err, w->a->db.db, what, w->a->db.path);
	return 0;
}

static bool prepare(struct writing *w)
{
	static const char *const texts[] = {
		"select id from ValidPaths where path = ?",
		"insert into ValidPaths (hash, registrationTime, deriver, narSize, ultimate, sigs, ca, path)"
		" values (?, ?, ?, ?, ?, ?, ?, ?)",
		"update ValidPaths set hash = ?, registrationTime = ?, deriver = ?, narSize = ?, ultimate = ?, sigs = ?,"
		" ca = ? where path = ?",
		"delete from Refs where referrer = ?",
		"insert or replace into Refs (referrer, reference) values (?, ?)",
		"delete from DerivationOutputs where drv = ?",
		"insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
	};
	sqlite3_stmt **const statements[] = {&w->find, &w->insert,     &w->update, &w->no_refs,
					     &w->ref,  &w->no_outputs, &w->output};

	for (size_t i = 0; i < UL_ARRAY_SIZE(texts); i++)
		if (sqlite3_prepare_v2(w->a->db.db, texts[i], -1, statements[i], NULL) != SQLITE_OK)
			return false;
	return true;
}

static void finalize(struct writing *w)
{
	sqlite3_stmt *const statements[] = {w->find, w->insert,     w->update, w->no_refs,
					    w->ref,  w->no_outputs, w->output};

	for (size_t i = 0; i < UL_ARRAY_SIZE(statements); i++)
		sqlite3_finalize(statements[i]);
	ul_names_free(&w->lower);
}

/* One that is bound. 1 or what fail says. */
static int execute(struct writing *w, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE ? 1 : fail(w);
}

/* 1: *ret_id is the row's, or 0 where there is none. */
static int find_row(struct writing *w, const char *path, int64_t *ret_id)
{
	int code;

	*ret_id = 0;
	sqlite3_bind_text(w->find, 1, path, -1, SQLITE_TRANSIENT);
	code = sqlite3_step(w->find);
	if (code == SQLITE_ROW)
		*ret_id = sqlite3_column_int64(w->find, 0);
	sqlite3_reset(w->find);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 1 : fail(w);
}

/* The values of a path, over the row that it has, or as a new one. 1: *ret_id is the row's. */
static int write_row(struct writing *w, const struct ul_path_info *info, int64_t *ret_id)
{
	char hash[UL_HASH_TEXT_LENGTH + 1];
	sqlite3_stmt *q;
	int r = find_row(w, info->path, ret_id);

	if (r <= 0)
		return r;
	q = *ret_id ? w->update : w->insert;
	ul_hash_text_print(info->nar_hash, hash);
	sqlite3_bind_text(q, 1, hash, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(q, 2, info->registered);
	sqlite3_bind_text(q, 3, info->deriver, -1, SQLITE_TRANSIENT);
	/* As Nix writes what is not known, and what is not so. */
	if (info->nar_size > 0)
		sqlite3_bind_int64(q, 4, (int64_t)info->nar_size);
	if (info->ultimate)
		sqlite3_bind_int64(q, 5, 1);
	sqlite3_bind_text(q, 6, info->sigs, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(q, 7, info->ca, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(q, 8, info->path, -1, SQLITE_TRANSIENT);
	r = execute(w, q);
	return r <= 0 || *ret_id ? r : find_row(w, info->path, ret_id);
}

/* A row for a path of this lower, where there is none. 1: *ret_id is the row's. */
static int make_lower(struct writing *w, const char *base, int64_t *ret_id)
{
	struct ul_agreement *a = w->a;
	ul_autofree char *path = ul_path_join(a->store_dir, base);
	struct ul_path_info info = {.path = path};
	int r = path ? find_row(w, path, ret_id) : ul_upper_dir_nomem(&a->upper);

	if (r <= 0 || *ret_id)
		return r;
	r = ul_lower_rows_info(&a->lower, base, &info, a->upper.err);
	if (r == 0)
		return ul_error_set(a->upper.err, UL_E_DATABASE, what, base, "Build the image again.",
				    "the lower's database lacks a path of its manifest");
	if (r > 0 && ul_names_add(&w->lower, base) < 0)
		r = ul_upper_dir_nomem(&a->upper);
	return r < 0 ? r : write_row(w, &info, ret_id);
}

static int write_ref(struct writing *w, int64_t from, int64_t to)
{
	sqlite3_bind_int64(w->ref, 1, from);
	sqlite3_bind_int64(w->ref, 2, to);
	return execute(w, w->ref);
}

/* The references of a path of this lower that got its row here. */
static int write_lower_refs(struct writing *w, const char *base)
{
	struct ul_agreement *a = w->a;
	ul_autofree char *path = ul_path_join(a->store_dir, base);
	ul_autonames struct ul_names refs = {0};
	struct ul_path_info info = {.n_refs = 0};
	int64_t from = 0, to = 0;
	int r = path ? ul_lower_rows_info(&a->lower, base, &info, a->upper.err) : ul_upper_dir_nomem(&a->upper);

	/* They are the lower's until it is asked the next time. */
	for (size_t i = 0; r > 0 && i < info.n_refs; i++)
		if (ul_names_add(&refs, ul_store_base_of(a->store_dir, info.refs[i])) < 0)
			r = ul_upper_dir_nomem(&a->upper);
	if (r > 0)
		r = find_row(w, path, &from);
	for (size_t i = 0; r > 0 && i < refs.n; i++) {
		r = make_lower(w, refs.at[i], &to);
		if (r > 0)
			r = write_ref(w, from, to);
	}
	return r;
}

static int write_refs(struct writing *w, const struct ul_returning_list *list, const struct ul_returning *one,
		      int64_t id)
{
	struct ul_agreement *a = w->a;
	int r = 1;

	for (size_t i = 0; r > 0 && i < one->row.refs.n; i++) {
		const char *base = one->row.refs.at[i];
		ul_autofree char *path = ul_path_join(a->store_dir, base);
		int64_t to = 0;

		r = path ? find_row(w, path, &to) : ul_upper_dir_nomem(&a->upper);
		/* What comes back has its row by now, and so has what the upper has. */
		if (r > 0 && !to && !ul_returning_find(list, base))
			r = make_lower(w, base, &to);
		if (r > 0)
			r = write_ref(w, id, to);
	}
	return r;
}

static int write_outputs(struct writing *w, const struct ul_saved_row *row, int64_t id)
{
	int r;

	sqlite3_bind_int64(w->no_outputs, 1, id);
	r = execute(w, w->no_outputs);
	for (size_t i = 0; r > 0 && i + 1 < row->outputs.n; i += 2) {
		sqlite3_bind_int64(w->output, 1, id);
		sqlite3_bind_text(w->output, 2, row->outputs.at[i], -1, SQLITE_TRANSIENT);
		sqlite3_bind_text(w->output, 3, row->outputs.at[i + 1], -1, SQLITE_TRANSIENT);
		r = execute(w, w->output);
	}
	return r;
}

static int write_values(struct writing *w, const struct ul_returning *one, int64_t *ret_id)
{
	ul_autofree char *path = ul_path_join(w->a->store_dir, one->base);
	struct ul_path_info info = {.path = path,
				    .deriver = one->row.deriver,
				    .nar_size = one->row.nar_size,
				    .registered = one->row.registered,
				    .ultimate = one->row.ultimate,
				    .sigs = one->row.sigs,
				    .ca = one->row.ca};

	memcpy(info.nar_hash, one->row.nar_hash, sizeof(info.nar_hash));
	return path ? write_row(w, &info, ret_id) : ul_upper_dir_nomem(&w->a->upper);
}

static int write_one(struct writing *w, const struct ul_returning_list *list, const struct ul_returning *one)
{
	int64_t id = 0;
	int r = write_values(w, one, &id);

	if (r > 0) {
		sqlite3_bind_int64(w->no_refs, 1, id);
		r = execute(w, w->no_refs);
	}
	if (r > 0)
		r = write_refs(w, list, one, id);
	return r > 0 ? write_outputs(w, &one->row, id) : r;
}

/* All values come first: they refer to each other. */
static int write_all(struct writing *w, const struct ul_returning_list *list)
{
	int64_t id = 0;
	int r = 1;

	for (size_t i = 0; r > 0 && i < list->n; i++)
		if (!list->at[i].dropped)
			r = write_values(w, &list->at[i], &id);
	for (size_t i = 0; r > 0 && i < list->n; i++)
		if (!list->at[i].dropped)
			r = write_one(w, list, &list->at[i]);
	for (size_t i = 0; r > 0 && i < w->lower.n; i++)
		r = write_lower_refs(w, w->lower.at[i]);
	return r;
}

int ul_restore_rows(struct ul_agreement *a, const struct ul_returning_list *list)
{
	struct writing w = {.a = a};
	sqlite3 *db = a->db.db;
	int r;

	if (sqlite3_exec(db, "begin immediate", NULL, NULL, NULL) != SQLITE_OK)
		return fail(&w);
	r = prepare(&w) ? write_all(&w, list) : fail(&w);
	finalize(&w);
	if (r > 0 && sqlite3_exec(db, "commit", NULL, NULL, NULL) != SQLITE_OK)
		r = fail(&w);
	if (r <= 0) {
		(void)sqlite3_exec(db, "rollback", NULL, NULL, NULL);
		return r;
	}
	/* They are written: what cannot go home from the log now does when the database is opened the next time. */
	(void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return 1;
}
