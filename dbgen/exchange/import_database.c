/*
 * Nix's own database as a source. It is opened so that nothing of it is ever written, and what stands
 * in its write-ahead log is seen:
 *   no -wal, or an empty one    the file holds all: opened as immutable
 *   -wal and -shm               read with Nix's own locks, -shm read-only; where nobody has it open,
 *                               SQLite builds the log's index in memory
 *   -wal without -shm           a copy that lost its -shm. SQLite would make a new one beside it, so both
 *                               are copied to a temporary directory and opened there
 *   -journal                    an interrupted transaction that only a writer can undo: refused
 */
#include "common/compare.h"
#include "dbgen/exchange/import.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/leftover.h"
#include "common/sqlite.h"
#include "common/vector.h"
#include "dbgen/store/hash_text.h"

static const char what[] = "reading Nix's database";

struct source {
	const char *path; /* as the caller named it, for messages */
	sqlite3 *db;
	char *copy;                       /* temporary directory to remove; NULL: none */
	struct ul_leftover *leftovers[4]; /* it, and what SQLite makes in it */
	struct ul_error *err;
};

/* The paths by id, which is how Refs names them. */
struct id {
	int64_t id;
	char *path; /* owned */
};

struct ids {
	UL_VECTOR_MEMBERS(struct id);
};

static int fail_sqlite(const struct source *s)
{
	return ul_error_set(s->err, UL_E_DATABASE, what, s->path, "Open it with Nix first, or give another source.",
			    "%s", ul_sqlite_message(s->db));
}

/* A row that can be read and not be used. path: the path that it is about; NULL: it tells none. */
static int put_aside(const struct source *s, struct ul_builder *b, const char *path, const char *object,
		     const char *why)
{
	(void)ul_error_set(s->err, UL_E_DATABASE, what, s->path, "Repair it with `nix-store --verify`.", "%s: %s",
			   object, why);
	return ul_builder_put_aside(b, path, s->err);
}

/* ---- opening ---- */

static bool has_content(const char *path, const char *suffix)
{
	char *name = NULL;
	struct stat st;
	bool content;

	if (asprintf(&name, "%s%s", path, suffix) < 0)
		return false;
	content = stat(name, &st) == 0 && st.st_size > 0;
	free(name);
	return content;
}

static int open_uri(struct source *s, const char *path, const char *query, int flags)
{
	ul_autofree char *uri = ul_sqlite_uri(path, query);

	if (!uri)
		return ul_error_nomem(s->err, what);
	if (ul_sqlite_open(uri, flags | SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE, &s->db) != SQLITE_OK)
		return fail_sqlite(s);
	return 0;
}

static int copy_file(const struct source *s, const char *from, const char *to)
{
	ul_autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
	ul_autoclose int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ul_autofree char *block = malloc(1 << 16);
	ssize_t n = -1;
	int r = 0;

	if (!block)
		return ul_error_nomem(s->err, what);
	if (in < 0 || out < 0)
		return ul_error_errno(s->err, UL_E_SYSTEM, what, in < 0 ? from : to, NULL, errno);
	while (r == 0 && (n = read(in, block, 1 << 16)) > 0)
		r = ul_write_full(out, block, (size_t)n);
	if (r == 0 && n < 0)
		r = -errno;
	return r < 0 ? ul_error_errno(s->err, UL_E_SYSTEM, what, to, NULL, -r) : 0;
}

/* What a signal must not leave behind: the directory, and what SQLite has in it. */
static void look_after(struct source *s)
{
	static const char *const names[] = {"", "/db.sqlite", "/db.sqlite-wal", "/db.sqlite-shm"};
	char path[PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++)
		if (snprintf(path, sizeof(path), "%s%s", s->copy, names[i]) < (int)sizeof(path))
			s->leftovers[i] = ul_leftover_add(AT_FDCWD, path);
}

static int open_copy(struct source *s)
{
	static const char *const suffixes[] = {"", "-wal"};
	const char *tmp = getenv("TMPDIR");
	ul_autofree char *target = NULL;
	int r = 0;

	if (asprintf(&s->copy, "%s/underlay.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
		s->copy = NULL;
		return ul_error_nomem(s->err, what);
	}
	if (!mkdtemp(s->copy)) {
		r = ul_error_errno(s->err, UL_E_SYSTEM, what, s->copy, NULL, errno);
		free(s->copy);
		s->copy = NULL;
		return r;
	}
	look_after(s);
	for (size_t i = 0; i < UL_ARRAY_SIZE(suffixes) && r == 0; i++) {
		ul_autofree char *from = NULL, *to = NULL;

		if (asprintf(&from, "%s%s", s->path, suffixes[i]) < 0)
			from = NULL;
		if (asprintf(&to, "%s/db.sqlite%s", s->copy, suffixes[i]) < 0)
			to = NULL;
		r = from && to ? copy_file(s, from, to) : ul_error_nomem(s->err, what);
	}
	target = ul_path_join(s->copy, "db.sqlite");
	if (r < 0)
		return r;
	if (!target)
		return ul_error_nomem(s->err, what);
	return open_uri(s, target, "mode=rw", SQLITE_OPEN_READWRITE);
}

static int open_source(struct source *s)
{
	bool wal = has_content(s->path, "-wal");
	bool shm = has_content(s->path, "-shm");
	struct stat st;

	if (stat(s->path, &st) < 0 || access(s->path, R_OK) < 0)
		return ul_error_errno(s->err, UL_E_SYSTEM, what, s->path, NULL, errno);
	if (!S_ISREG(st.st_mode))
		return ul_error_set(s->err, UL_E_DATABASE, what, s->path, NULL, "it is not a regular file");
	if (has_content(s->path, "-journal"))
		return ul_error_set(s->err, UL_E_DATABASE, what, s->path, "Open it with Nix first.",
				    "a transaction was interrupted and is not undone yet");
	if (!wal)
		return open_uri(s, s->path, "mode=ro&" UL_SQLITE_IMMUTABLE, SQLITE_OPEN_READONLY);
	if (shm)
		return open_uri(s, s->path, "mode=ro&readonly_shm=1", SQLITE_OPEN_READONLY);
	return open_copy(s);
}

static void close_source(struct source *s)
{
	sqlite3_close(s->db);
	if (s->copy) {
		(void)ul_remove_tree(AT_FDCWD, s->copy);
		for (size_t i = 0; i < UL_ARRAY_SIZE(s->leftovers); i++)
			ul_leftover_drop(s->leftovers[i]);
		free(s->copy);
	}
}

/* ---- rows ---- */

static int prepare(const struct source *s, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(s->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail_sqlite(s);
}

/* 1: a row, 0: no more, negative: failure. */
static int step(const struct source *s, sqlite3_stmt *q)
{
	int r = sqlite3_step(q);

	return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : fail_sqlite(s);
}

/* A column's text; NULL for SQL's null. false: it holds a NUL byte, or there is no memory. */
static bool text_of(sqlite3_stmt *q, int column, const char **ret)
{
	*ret = (const char *)sqlite3_column_text(q, column);
	if (!*ret)
		return sqlite3_column_type(q, column) == SQLITE_NULL;
	return strlen(*ret) == (size_t)sqlite3_column_bytes(q, column);
}

static int finish(sqlite3_stmt *q, int r)
{
	sqlite3_finalize(q);
	return r;
}

/* ---- ids ---- */

static bool add_id(struct ids *ids, int64_t id, const char *path)
{
	struct id made = {.id = id, .path = strdup(path)};

	if (made.path && ul_vector_push(ids, made) == 0)
		return true;
	free(made.path);
	return false;
}

static void free_ids(struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		free(ids->at[i].path);
	ul_vector_free(ids);
}

static int compare_ids(const void *a, const void *b)
{
	const struct id *x = a, *y = b;

	return ul_order(x->id, y->id);
}

static const char *path_of(const struct ids *ids, int64_t id)
{
	const struct id key = {.id = id};
	const struct id *found = ids->n ? bsearch(&key, ids->at, ids->n, sizeof(key), compare_ids) : NULL;

	return found ? found->path : NULL;
}

static int read_ids(const struct source *s, struct ul_builder *b, struct ids *ids)
{
	sqlite3_stmt *q = NULL;
	const char *path;
	int r = prepare(s, "select id, path from ValidPaths order by id", &q);

	while (r == 0 && (r = step(s, q)) == 1) {
		if (!text_of(q, 1, &path) || !path)
			r = put_aside(s, b, NULL, "ValidPaths", "a path is not a text");
		else
			r = add_id(ids, sqlite3_column_int64(q, 0), path) ? 0 : ul_error_nomem(s->err, what);
	}
	return finish(q, r);
}

/* ---- the tables ---- */

/* The Refs in order of the referrer, one row ahead of what was taken. */
struct refs {
	sqlite3_stmt *q;
	int state; /* 1: a row waits, 0: no more */
	UL_VECTOR(const char *) list;
};

/* What the row of `path` refers to. *ret_odd: why that cannot be used; the rows have been passed all the same. */
static int take_refs(const struct source *s, struct ul_builder *b, const struct ids *ids, struct refs *refs, int64_t id,
		     const char **ret_odd)
{
	int r = 0;

	refs->list.n = 0;
	while (r == 0 && refs->state == 1 && sqlite3_column_int64(refs->q, 0) <= id) {
		int64_t referrer = sqlite3_column_int64(refs->q, 0);
		const char *path = path_of(ids, sqlite3_column_int64(refs->q, 1));

		if (referrer < id)
			r = put_aside(s, b, path_of(ids, referrer), "Refs", "a referrer is an id that no path has");
		else if (!path)
			*ret_odd = "it refers to an id that no path has";
		else if (ul_vector_push(&refs->list, path) < 0)
			r = ul_error_nomem(s->err, what);
		if (r == 0)
			r = refs->state = step(s, refs->q);
		r = r < 0 ? r : 0;
	}
	return r;
}

/* A row as the builder takes it; *ret_odd: why it cannot be used. */
static void read_columns(sqlite3_stmt *q, struct ul_path_info *info, const char **ret_odd)
{
	int64_t size = sqlite3_column_int64(q, 4);
	const char *hash = NULL;

	if (!text_of(q, 1, &hash) || !text_of(q, 3, &info->deriver) || !text_of(q, 6, &info->sigs) ||
	    !text_of(q, 7, &info->ca))
		*ret_odd = "a column is not a text";
	else if (!hash || !ul_sha256_parse(hash, strlen(hash), info->nar_hash))
		*ret_odd = "its hash is not a SHA-256 hash";
	else if (size < 0)
		*ret_odd = "its NAR size is negative";
	info->registered = sqlite3_column_int64(q, 2);
	info->nar_size = (uint64_t)size;
	info->ultimate = sqlite3_column_int64(q, 5) != 0;
}

static int read_path(const struct source *s, struct ul_builder *b, const struct ids *ids, sqlite3_stmt *q,
		     struct refs *refs)
{
	int64_t id = sqlite3_column_int64(q, 0);
	struct ul_path_info info = {.path = path_of(ids, id)};
	const char *odd = NULL;
	int r = take_refs(s, b, ids, refs, id, &odd);

	/* A path that is not a text was put aside when the ids were read. */
	if (r < 0 || !info.path)
		return r;
	if (!odd)
		read_columns(q, &info, &odd);
	if (odd)
		return put_aside(s, b, info.path, info.path, odd);
	info.refs = refs->list.at;
	info.n_refs = refs->list.n;
	r = ul_builder_add(b, &info, s->err);
	return r < 0 ? ul_builder_put_aside(b, info.path, s->err) : 0;
}

static int read_paths(const struct source *s, struct ul_builder *b, const struct ids *ids)
{
	struct refs refs = {.q = NULL};
	const char *odd = NULL;
	sqlite3_stmt *q = NULL;
	int r = prepare(s,
			"select id, hash, registrationTime, deriver, narSize, ultimate, sigs, ca"
			" from ValidPaths order by id",
			&q);

	if (r == 0)
		r = prepare(s, "select referrer, reference from Refs order by referrer", &refs.q);
	if (r == 0)
		r = refs.state = step(s, refs.q);
	if (r >= 0)
		r = 0;
	while (r == 0 && (r = step(s, q)) == 1)
		r = read_path(s, b, ids, q, &refs);
	if (r == 0)
		r = take_refs(s, b, ids, &refs, INT64_MAX, &odd);
	ul_vector_free(&refs.list);
	sqlite3_finalize(refs.q);
	return finish(q, r);
}

static int has_table(const struct source *s, const char *name, bool *ret)
{
	sqlite3_stmt *q = NULL;
	int r = prepare(s, "select 1 from sqlite_master where type = 'table' and name = ?", &q);

	if (r == 0 && sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
		r = fail_sqlite(s);
	if (r == 0)
		r = step(s, q);
	*ret = r == 1;
	return finish(q, r < 0 ? r : 0);
}

/* Rows of up to five texts, each handed to `add`; none of the first three is null. */
typedef int (*add_fn)(struct ul_builder *b, const char *const text[5], struct ul_error *err);

static int add_drv_output(struct ul_builder *b, const char *const t[5], struct ul_error *err)
{
	return ul_builder_add_drv_output(b, t[0], t[1], t[2], err);
}

static int add_realisation(struct ul_builder *b, const char *const t[5], struct ul_error *err)
{
	return ul_builder_add_realisation(b, t[0], t[1], t[2], t[3], err);
}

static int add_realisation_ref(struct ul_builder *b, const char *const t[5], struct ul_error *err)
{
	if (!t[3])
		return ul_error_set(err, UL_E_DATABASE, what, t[0], NULL, "a realisation's output has no name");
	return ul_builder_add_realisation_ref(b, t[0], t[1], t[2], t[3], err);
}

/* path: the column of the store path that a row is about. */
static int read_table(const struct source *s, struct ul_builder *b, const char *table, const char *sql, int path,
		      add_fn add)
{
	const char *text[5] = {NULL};
	sqlite3_stmt *q = NULL;
	bool exists;
	int r = has_table(s, table, &exists);

	if (r < 0 || !exists)
		return r;
	r = prepare(s, sql, &q);
	if (r == 0 && sqlite3_bind_parameter_count(q) > 0 &&
	    sqlite3_bind_text(q, 1, ul_builder_store_dir(b), -1, SQLITE_STATIC) != SQLITE_OK)
		r = fail_sqlite(s);
	while (r == 0 && (r = step(s, q)) == 1) {
		bool good = true;

		for (int i = 0; i < sqlite3_column_count(q); i++) {
			if (text_of(q, i, &text[i]) && (i == 3 || text[i]))
				continue;
			text[i] = NULL;
			good = false;
		}
		if (!good)
			r = put_aside(s, b, text[path], table, "a column is not a text");
		else if ((r = add(b, text, s->err)) < 0)
			r = ul_builder_put_aside(b, text[path], s->err);
	}
	return finish(q, r);
}

static int read_tables(const struct source *s, struct ul_builder *b)
{
	static const struct {
		const char *table, *sql;
		int path;
		add_fn add;
	} tables[] = {
		{"DerivationOutputs",
		 "select v.path, d.id, d.path from DerivationOutputs d"
		 " join ValidPaths v on v.id = d.drv",
		 0, add_drv_output},
		{"Realisations",
		 "select r.drvPath, r.outputName, v.path, r.signatures from Realisations r"
		 " join ValidPaths v on v.id = r.outputPath",
		 2, add_realisation},
		{"RealisationsRefs",
		 "select a.drvPath, a.outputName, z.drvPath, z.outputName, v.path from RealisationsRefs x"
		 " join Realisations a on a.id = x.referrer"
		 " join ValidPaths v on v.id = a.outputPath"
		 " join Realisations z on z.id = x.realisationReference",
		 4, add_realisation_ref},
		/* Nix 2.35 and later. Build traces whose output is not valid do not belong to a store. */
		{"BuildTraceV3",
		 "select t.drvPath, t.outputName, v.path, t.signatures from BuildTraceV3 t"
		 " join ValidPaths v on v.path in (t.outputPath, ?1 || '/' || t.outputPath)"
		 " group by t.drvPath, t.outputName having min(t.id)",
		 2, add_realisation},
	};
	int r = 0;

	for (size_t i = 0; i < UL_ARRAY_SIZE(tables) && r == 0; i++)
		r = read_table(s, b, tables[i].table, tables[i].sql, tables[i].path, tables[i].add);
	return r;
}

int ul_import_database(struct ul_builder *b, const char *path, struct ul_error *err)
{
	struct ul_error ignored = {0};
	struct source s = {.path = path, .err = err ? err : &ignored};
	struct ids ids = {.n = 0};
	int r = open_source(&s);

	/* One transaction: all tables are seen as of one moment. */
	if (r == 0 && sqlite3_exec(s.db, "begin", NULL, NULL, NULL) != SQLITE_OK)
		r = fail_sqlite(&s);
	if (r == 0)
		r = read_ids(&s, b, &ids);
	if (r == 0)
		r = read_paths(&s, b, &ids);
	if (r == 0)
		r = read_tables(&s, b);
	free_ids(&ids);
	close_source(&s);
	return r;
}
