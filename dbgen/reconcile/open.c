/*
 * The upper's database as files, before SQLite is let at them.
 *
 * SQLite opens what lies beside a database: a log, whose index is mapped, and a rollback journal, which may name
 * another file that SQLite then reads as a journal, and deletes. So each of them must be a regular file, a journal that
 * names another one is moved away, and the log's index is thrown away: this connection locks the database for itself and
 * needs none. A log that belongs to the database is part of it: it is brought home, never deleted unread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "dbgen/reconcile/internal.h"

#define DB      "db.sqlite"
#define WAL     DB "-wal"
#define SHM     DB "-shm"
#define JOURNAL DB "-journal"
#define SCHEMA  "schema"

#define CA_SCHEMA "ca-schema"

/* ---- the files ---- */

static int open_directory(struct ul_rc *c)
{
	static const char *const parts[] = {"var", "nix", "db"};
	int fd = c->o->upper_fd, r = 0;

	for (size_t i = 0; i < UL_ARRAY_SIZE(parts); i++) {
		int next = -1;

		r = ul_rc_open_dir(c, fd, parts[i], &next);
		if (fd != c->o->upper_fd)
			close(fd);
		fd = next;
		if (r < 0 || fd < 0)
			break;
	}
	c->db_fd = fd;
	return r;
}

/* *ret_size: -1: it is not there (any more). */
static int check_file(struct ul_rc *c, const char *name, int64_t *ret_size)
{
	struct stat st;
	int r;

	*ret_size = -1;
	if (fstatat(c->db_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ul_rc_fail_upper(c, name, errno);
	if (S_ISREG(st.st_mode)) {
		*ret_size = st.st_size;
		return 0;
	}
	r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, name, "it must be a file");
	return r < 0 ? r : ul_rc_quarantine(c, c->db_fd, name);
}

/* A journal ends in the name of the one above it, its length, a checksum and the journal's magic. */
static bool names_another(struct ul_rc *c, int64_t size)
{
	static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	ul_autoclose int fd = openat(c->db_fd, JOURNAL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t end[8];

	return size >= (int64_t)sizeof(end) &&
	       (fd < 0 || ul_pread_full(fd, end, sizeof(end), (uint64_t)size - sizeof(end)) < 0 ||
		!memcmp(end, magic, sizeof(magic)));
}

static int move_file(struct ul_rc *c, const char *name, const char *why)
{
	int r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, name, "%s", why);

	return r < 0 ? r : ul_rc_quarantine(c, c->db_fd, name);
}

/* *ret: there is a database that SQLite may open. */
static int check_files(struct ul_rc *c, bool *ret)
{
	int64_t db, wal, shm, journal;
	int r = check_file(c, DB, &db);

	*ret = false;
	if (r == 0)
		r = check_file(c, WAL, &wal);
	if (r == 0)
		r = check_file(c, SHM, &shm);
	if (r == 0)
		r = check_file(c, JOURNAL, &journal);
	if (r == 0)
		r = ul_rc_make_way(c, c->db_fd, DB);
	if (r == 0)
		r = ul_rc_make_way(c, c->db_fd, SCHEMA);
	if (r == 0)
		r = ul_rc_make_way(c, c->db_fd, CA_SCHEMA);
	if (r != 0)
		return r;
	if (shm >= 0 && !c->o->dry_run && unlinkat(c->db_fd, SHM, 0) < 0)
		return ul_rc_fail_upper(c, SHM, errno);
	if (journal > 0 && names_another(c, journal))
		r = move_file(c, JOURNAL, "it leads to a journal elsewhere");
	if (r == 0 && db < 0 && wal > 0)
		r = move_file(c, WAL, "the database that it belongs to is not there");
	c->has_log = wal > 0;
	*ret = db >= 0;
	return r;
}

static int check_version(struct ul_rc *c)
{
	ul_autobuffer struct ul_buffer text = {0};
	int64_t size;
	int r = check_file(c, SCHEMA, &size);

	c->schema_right = r == 0 && size >= 2 && size <= 3 && ul_read_file(c->db_fd, SCHEMA, 16, &text) == 0 &&
			  text.len >= 2 && !memcmp(text.data, UL_DB_SCHEMA_VERSION, 2);
	return r;
}

int ul_rc_db_quarantine(struct ul_rc *c, const char *why)
{
	static const char *const names[] = {DB, WAL, SHM, JOURNAL};
	int r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, DB, "%s", why);

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(names); i++)
		r = ul_rc_quarantine(c, c->db_fd, names[i]);
	if (r == 0 && !c->o->dry_run && fsync(c->db_fd) < 0)
		r = ul_rc_fail_upper(c, DB, errno);
	return r;
}

/* ---- its schema ---- */

/* Without comments and white space, in lower case: versions of Nix differ in these. NULL: no memory. */
static char *normalised(const char *sql)
{
	char *text = malloc(strlen(sql) + 1), *at = text;

	if (!text)
		return NULL;
	for (const char *p = sql; *p; p++) {
		if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		if (!*p)
			break;
		if (!isspace((unsigned char)*p))
			*at++ = (char)tolower((unsigned char)*p);
	}
	while (at > text && at[-1] == ';')
		at--;
	*at = '\0';
	return text;
}

static bool same_sql(const char *a, const char *b)
{
	ul_autofree char *x = a ? normalised(a) : NULL, *y = b ? normalised(b) : NULL;

	if (!a || !b)
		return !a && !b;
	return x && y && !strcmp(x, y);
}

static const struct ul_db_object *find_object(const char *type, const char *name)
{
	for (size_t i = 0; i < ul_db_n_objects; i++)
		if (!strcmp(ul_db_objects[i].type, type) && !strcmp(ul_db_objects[i].name, name))
			return &ul_db_objects[i];
	return NULL;
}

static bool is_own_table(const char *name)
{
	return find_object("table", name);
}

/* Whether this row of the schema is Nix's, or a table of a Nix that we do not know, which does nothing to the others. */
static bool is_harmless(const char *type, const char *name, const char *table, const char *sql)
{
	const struct ul_db_object *object;

	if (!type || !name || !table)
		return false;
	object = find_object(type, name);
	if (object)
		return !strcmp(object->table, table) && same_sql(object->sql, sql);
	if (!strncmp(name, "sqlite_stat", 11))
		return true;
	return (!strcmp(type, "table") && sql && strncasecmp(sql, "create virtual", 14) != 0) ||
	       (!strcmp(type, "index") && !is_own_table(table));
}

/* What Nix 2.8, the eldest that is known here, has not got need not be there. */
static bool is_required(const struct ul_db_object *object)
{
	return !object->ca && strcmp(object->table, "SchemaMigrations") != 0;
}

static bool schema_is_nix(sqlite3 *db)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	size_t found = 0, required = 0;
	bool harmless = true;
	int code = SQLITE_DONE;

	for (size_t i = 0; i < ul_db_n_objects; i++)
		required += is_required(&ul_db_objects[i]);
	if (sqlite3_prepare_v2(db, "select type, name, tbl_name, sql from sqlite_schema", -1, &rows, NULL) != SQLITE_OK)
		return false;
	while (harmless && (code = sqlite3_step(rows)) == SQLITE_ROW) {
		const char *type = (const char *)sqlite3_column_text(rows, 0);
		const char *name = (const char *)sqlite3_column_text(rows, 1);
		const struct ul_db_object *object;

		harmless = is_harmless(type, name, (const char *)sqlite3_column_text(rows, 2),
				       (const char *)sqlite3_column_text(rows, 3));
		object = harmless ? find_object(type, name) : NULL;
		found += object && is_required(object);
	}
	return harmless && code == SQLITE_DONE && found == required;
}

/* ---- opening ---- */

static bool is_upper_trouble(int code)
{
	return code == SQLITE_IOERR || code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_READONLY ||
	       code == SQLITE_CANTOPEN || code == SQLITE_LOCKED;
}

static int fail_sqlite(struct ul_rc *c, sqlite3 *db)
{
	int code = ul_sqlite_code(db ? sqlite3_errcode(db) : SQLITE_NOMEM);

	if (code == SQLITE_NOMEM)
		return ul_rc_nomem(c);
	if (code == SQLITE_BUSY)
		return ul_error_set(c->err, UL_E_UPPER, ul_rc_what, c->db_path,
				    "Stop Nix first, or reconcile at the next boot.", "another program uses it");
	return ul_error_set(c->err, UL_E_UPPER, ul_rc_what, c->db_path, code == SQLITE_FULL ? "Make room there." : NULL,
			    "%s", ul_sqlite_message(db));
}

/* Bring the log home. 0, or SQLite's code. */
static int checkpoint(struct ul_rc *c, sqlite3 *db)
{
	int code = sqlite3_exec(db,
				"pragma locking_mode = exclusive; pragma synchronous = full;"
				"select count(*) from sqlite_schema",
				NULL, NULL, NULL);

	if (code == SQLITE_OK && !c->o->dry_run)
		code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return ul_sqlite_code(code) & 0xff;
}

static int open_database(struct ul_rc *c, sqlite3 **ret, bool *ret_intact)
{
	sqlite3 *db = NULL;
	int code = ul_sqlite_open(c->db_path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, &db), r = 0;

	if (code == SQLITE_OK) {
		/* An empty log is SQLite's own of this moment: it takes that away again. */
		if (c->o->dry_run && c->has_log)
			sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		code = checkpoint(c, db);
	}
	if (code == SQLITE_OK) {
		*ret_intact = schema_is_nix(db);
		*ret = db;
		return 0;
	}
	if (!db || code == SQLITE_NOMEM || is_upper_trouble(code))
		r = fail_sqlite(c, db);
	if (code == SQLITE_CORRUPT && r == 0) {
		/* Some of it can be read, perhaps. */
		*ret = db;
		return 0;
	}
	sqlite3_close(db);
	return r < 0 ? r : ul_rc_db_quarantine(c, "it is no database");
}

int ul_rc_db_open(struct ul_rc *c, sqlite3 **ret, bool *ret_intact)
{
	bool there = false;
	int r = open_directory(c);

	*ret = NULL;
	*ret_intact = false;
	if (r < 0 || c->db_fd < 0)
		return r;
	r = check_version(c);
	if (r == 0)
		r = check_files(c, &there);
	return r < 0 || !there ? r : open_database(c, ret, ret_intact);
}

int ul_rc_db_close(struct ul_rc *c, sqlite3 *db)
{
	/* Closing brings home what the log holds; it was empty already. */
	return sqlite3_close(db) == SQLITE_OK ? 0 : fail_sqlite(c, db);
}

int ul_rc_db_max_id(sqlite3 *db, int64_t *ret)
{
	ul_autostatement sqlite3_stmt *row = NULL;

	*ret = 0;
	if (sqlite3_prepare_v2(db, "select max(id) from ValidPaths", -1, &row, NULL) != SQLITE_OK ||
	    sqlite3_step(row) != SQLITE_ROW)
		return -EIO;
	*ret = sqlite3_column_int64(row, 0);
	return 0;
}
