/*
 * The upper's database as files, before SQLite is let at them.
 *
 * SQLite opens what lies beside a database: a log, whose index is mapped, and a rollback journal, which may name
 * another file that SQLite then reads as a journal, and deletes. So each of them must be a regular file, a journal
 * that names another one is moved away, and the log's index is thrown away: this connection locks the database for
 * itself and needs none. A log that belongs to the database is part of it: it is brought home, never deleted unread.
 */
#include "dbgen/reconcile/db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/reconcile/db_schema.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/upper_open.h"

#define DB      UL_DB_FILE_NAME
#define WAL     DB "-wal"
#define SHM     DB "-shm"
#define JOURNAL DB "-journal"
#define SCHEMA  "schema"

#define CA_SCHEMA "ca-schema"

static const char what[] = "making the upper agree with the lower";

/* ---- the files ---- */

static const char *const directories[] = {"var", "nix", "db"};

static int open_directory(struct ul_db_file *f)
{
	int fd = f->upper->fd, r = 0;

	for (size_t i = 0; i < UL_ARRAY_SIZE(directories); i++) {
		int next = -1;

		r = ul_upper_dir_open(f->upper, fd, directories[i], &next);
		if (fd != f->upper->fd)
			close(fd);
		fd = next;
		if (r < 0 || fd < 0)
			break;
	}
	f->dir_fd = fd;
	return r;
}

/* The directory, where it is not there yet. */
static int make_directory(struct ul_db_file *f)
{
	int fd = f->upper->fd;

	for (size_t i = 0; f->dir_fd < 0 && i < UL_ARRAY_SIZE(directories); i++) {
		int next = -1, error;

		if (mkdirat(fd, directories[i], 0755) == 0 || errno == EEXIST)
			next = openat(fd, directories[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = errno;
		if (fd != f->upper->fd)
			close(fd);
		if (next < 0)
			return ul_upper_dir_fail(f->upper, UL_DB_FILE_DIR, error);
		fd = next;
	}
	if (f->dir_fd < 0)
		f->dir_fd = fd;
	return 0;
}

/* A journal ends in the name of the one above it, its length, a checksum and the journal's magic. */
static bool names_another(struct ul_db_file *f, int64_t size)
{
	static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	ul_autoclose int fd = openat(f->dir_fd, JOURNAL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t end[8];

	return size >= (int64_t)sizeof(end) &&
	       (fd < 0 || ul_pread_full(fd, end, sizeof(end), (uint64_t)size - sizeof(end)) < 0 ||
		!memcmp(end, magic, sizeof(magic)));
}

/* The files that are there, before SQLite looks. */
struct found {
	bool database; /* one that SQLite may open */
	bool log;      /* it holds something */
};

static int check_files(struct ul_db_file *f, struct found *ret)
{
	static const char *const written[] = {DB, SCHEMA, CA_SCHEMA};
	static const char *const names[] = {DB, WAL, SHM, JOURNAL};
	int64_t size[UL_ARRAY_SIZE(names)];
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(names); i++)
		r = ul_upper_dir_check_file(f->upper, f->dir_fd, names[i], &size[i]);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(written); i++)
		r = ul_upper_dir_make_way(f->upper, f->dir_fd, written[i]);
	if (r < 0)
		return r;
	if (size[2] >= 0 && !f->upper->dry_run && unlinkat(f->dir_fd, SHM, 0) < 0)
		return ul_upper_dir_fail(f->upper, SHM, errno);
	if (size[3] > 0 && names_another(f, size[3]))
		r = ul_upper_dir_move_away(f->upper, f->dir_fd, JOURNAL, "it leads to a journal elsewhere");
	if (r == 0 && size[0] < 0 && size[1] > 0)
		r = ul_upper_dir_move_away(f->upper, f->dir_fd, WAL, "the database that it belongs to is not there");
	*ret = (struct found){.database = size[0] >= 0, .log = size[1] > 0};
	return r;
}

/* *ret: the file `schema` says what it should. */
static int check_version(struct ul_db_file *f, bool *ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	int64_t size;
	int r = ul_upper_dir_check_file(f->upper, f->dir_fd, SCHEMA, &size);

	*ret = r == 0 && size >= 2 && size <= 3 && ul_read_file(f->dir_fd, SCHEMA, 16, &text) == 0 && text.len >= 2 &&
	       !memcmp(text.data, UL_DB_SCHEMA_VERSION, 2);
	return r;
}

int ul_db_file_quarantine(struct ul_db_file *f, const char *why)
{
	static const char *const names[] = {DB, WAL, SHM, JOURNAL};
	int r;

	sqlite3_close(ul_steal(f->db));
	r = ul_upper_dir_report(f->upper, UL_RECONCILE_QUARANTINED, DB, "%s", why);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(names); i++)
		r = ul_quarantine_move(f->upper, f->dir_fd, names[i]);
	if (r == 0 && !f->upper->dry_run && fsync(f->dir_fd) < 0)
		r = ul_upper_dir_fail(f->upper, DB, errno);
	return r;
}

/* ---- opening ---- */

static bool is_upper_trouble(int code)
{
	return code == SQLITE_IOERR || code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_READONLY ||
	       code == SQLITE_CANTOPEN || code == SQLITE_LOCKED;
}

static int fail_sqlite(struct ul_db_file *f, sqlite3 *db)
{
	int code = ul_sqlite_code(db ? sqlite3_errcode(db) : SQLITE_NOMEM);

	if (code == SQLITE_NOMEM)
		return ul_upper_dir_nomem(f->upper);
	if (code == SQLITE_BUSY)
		return ul_error_set(f->upper->err, UL_E_UPPER, what, f->path,
				    "Stop Nix first, or reconcile at the next boot.", "another program uses it");
	(void)ul_error_set(f->upper->err, UL_E_UPPER, what, f->path, NULL, "%s", ul_sqlite_message(db));
	f->upper->err->errnum = code == SQLITE_FULL ? ENOSPC : sqlite3_system_errno(db);
	if (ul_errno_is_full(f->upper->err->errnum))
		snprintf(f->upper->err->todo, sizeof(f->upper->err->todo), "Make room on the upper.");
	return -UL_E_UPPER;
}

int ul_db_file_fail(struct ul_db_file *f)
{
	return fail_sqlite(f, f->db);
}

/* Bring the log home. 0, or SQLite's code. */
static int checkpoint(struct ul_db_file *f, sqlite3 *db)
{
	int code = sqlite3_exec(db,
				"pragma locking_mode = exclusive; pragma synchronous = full;"
				"select 1 from sqlite_schema limit 1",
				NULL, NULL, NULL);

	if (code == SQLITE_OK && !f->upper->dry_run)
		code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return ul_sqlite_code(code) & 0xff;
}

/* Open it with its log, which comes home but in a dry run. SQLite's code; *ret is the caller's to close. */
static int connect_database(struct ul_db_file *f, sqlite3 **ret)
{
	int code = ul_sqlite_open(f->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, ret);

	if (code != SQLITE_OK)
		return code;
	/* An empty log was made by SQLite just now, which removes it again. */
	if (f->upper->dry_run && f->log)
		sqlite3_db_config(*ret, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return checkpoint(f, *ret);
}

static void distrust(struct ul_db_file *f, const char *why)
{
	f->intact = false;
	if (!f->why[0])
		snprintf(f->why, sizeof(f->why), "%s", why);
}

/* A missing index costs less than writing everything anew. */
static int mend_schema(struct ul_db_file *f)
{
	const char *made = NULL;
	int code = ul_db_schema_mend(f->db, &made);

	if (code == SQLITE_OK && made)
		code = sqlite3_wal_checkpoint_v2(f->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	code = ul_sqlite_code(code) & 0xff;
	if (code == SQLITE_NOMEM || is_upper_trouble(code))
		return fail_sqlite(f, f->db);
	if (code != SQLITE_OK)
		distrust(f, ul_sqlite_message(f->db));
	return code == SQLITE_OK && made ? ul_upper_dir_report(f->upper, UL_RECONCILE_NOTE, DB,
							       "%s was not there, and is made anew", made)
					 : 0;
}

static int open_database(struct ul_db_file *f)
{
	sqlite3 *db = NULL;
	char why[sizeof(f->why)];
	int code = connect_database(f, &db), r = 0;

	if (code == SQLITE_OK) {
		f->db = db;
		f->intact = ul_db_schema_fits(db, why, sizeof(why));
		if (!f->intact)
			distrust(f, why);
		return f->intact && !f->upper->dry_run ? mend_schema(f) : 0;
	}
	if (!db || code == SQLITE_NOMEM || is_upper_trouble(code))
		r = fail_sqlite(f, db);
	if (code == SQLITE_CORRUPT && r == 0) {
		/* Some of it can be read, perhaps. */
		f->db = db;
		distrust(f, "it is damaged");
		return 0;
	}
	sqlite3_close(db);
	if (r < 0)
		return r;
	distrust(f, "it is not a database");
	return ul_db_file_quarantine(f, f->why);
}

int ul_db_file_init(struct ul_db_file *f, struct ul_upper_dir *u)
{
	*f = (struct ul_db_file){.upper = u, .dir_fd = -1};
	if ((size_t)snprintf(f->path, sizeof(f->path), "%s/" UL_DB_FILE_DIR "/" UL_DB_FILE_NAME, u->path) >=
	    sizeof(f->path))
		return ul_upper_dir_fail(u, u->path, ENAMETOOLONG);
	return 0;
}

void ul_db_file_close(struct ul_db_file *f)
{
	sqlite3_close(f->db);
	f->db = NULL;
	f->intact = false;
	ul_cleanup_close(&f->dir_fd);
	f->dir_fd = -1;
}

int ul_db_file_open(struct ul_db_file *f)
{
	struct found found = {.database = false};
	bool version_right = false;
	int r;

	ul_db_file_close(f);
	f->max_id = 0;
	f->why[0] = '\0';
	r = open_directory(f);
	if (r < 0 || f->dir_fd < 0)
		return r;
	r = check_version(f, &version_right);
	if (r == 0)
		r = check_files(f, &found);
	f->log = found.log;
	if (r == 0 && found.database)
		r = open_database(f);
	if (f->db && !version_right)
		distrust(f, "the file `schema` beside it does not name version " UL_DB_SCHEMA_VERSION);
	if (r == 0 && f->db)
		(void)ul_db_file_max_id(f->db, &f->max_id);
	return r;
}

int ul_db_file_shut(struct ul_db_file *f)
{
	sqlite3 *db = ul_steal(f->db);

	/* Closing brings home what the log holds; it was empty already. */
	return sqlite3_close(db) == SQLITE_OK ? 0 : fail_sqlite(f, db);
}

int ul_db_file_build(struct ul_db_file *f, struct ul_manifest *m, const struct ul_db_options *options)
{
	int r = make_directory(f);

	return r < 0 ? r : ul_upper_dir_error(f->upper, ul_db_build(m, f->dir_fd, ".", options, f->upper->err));
}

int ul_db_file_read(struct ul_db_file *f, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	int code = f->upper->dry_run ? connect_database(f, &db) : ul_sqlite_open_immutable(f->path, &db);

	if (code == SQLITE_OK) {
		*ret = db;
		return 0;
	}
	sqlite3_close(db);
	return code == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

void ul_db_file_left_out(void *user, const char *name, const char *why)
{
	struct ul_db_file *f = user;

	if (f->failure == 0)
		f->failure = ul_upper_dir_report(f->upper, UL_RECONCILE_NOTE, DB,
						 "%s could not be taken along into the new one: %s", name, why);
}

void ul_db_file_print(const struct ul_db_file *f, struct ul_db_print *ret)
{
	struct stat st;

	*ret = (struct ul_db_print){0};
	if (f->dir_fd >= 0 && fstatat(f->dir_fd, DB, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtim.tv_sec >= 0)
		*ret = (struct ul_db_print){.size = (uint64_t)st.st_size,
					    .time = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
						    (uint64_t)st.st_mtim.tv_nsec};
}

int ul_db_file_max_id(sqlite3 *db, int64_t *ret)
{
	ul_autostatement sqlite3_stmt *row = NULL;

	*ret = 0;
	if (sqlite3_prepare_v2(db, "select max(id) from ValidPaths", -1, &row, NULL) != SQLITE_OK ||
	    sqlite3_step(row) != SQLITE_ROW)
		return -EIO;
	*ret = sqlite3_column_int64(row, 0);
	return 0;
}
