/* Small things that every user of SQLite's API here needs. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/sqlite.h"

#define LONGEST      (16 << 20) /* bytes of one value */
#define LARGEST_PAGE (64 << 10)
#define OWN_MOST     (4 << 20) /* bytes of one allocation of its own: the sorter takes what the page cache has, 2 MB */
#define STEP         10000     /* of SQLite's machine, between two looks at what is left */
#define STEPS_LEAST  (1 << 25) /* of a connection, a third of a second: lookups that do not follow the file's size */
#define STEPS_A_BYTE 8         /* a look through all rows and indexes takes a third of one */

/* ---- what SQLite may allocate ---- */

static sqlite3_mem_methods plain;           /* SQLite's own */
static _Thread_local size_t cap = SIZE_MAX; /* bytes of one allocation of this thread */
static _Thread_local bool capped;           /* it asked for more since it opened a file */

static bool too_much(int size)
{
	if (size < 0 || (size_t)size <= cap)
		return false;
	capped = true;
	return true;
}

static void *capped_malloc(int size)
{
	return too_much(size) ? NULL : plain.xMalloc(size);
}

static void *capped_realloc(void *p, int size)
{
	return too_much(size) ? NULL : plain.xRealloc(p, size);
}

/* Before anybody opens a database: SQLite takes no other allocator once it has begun. */
__attribute__((constructor)) static void cap_allocations(void)
{
	sqlite3_mem_methods methods;

	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
		return;
	methods = plain;
	methods.xMalloc = capped_malloc;
	methods.xRealloc = capped_realloc;
	(void)sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

int ul_sqlite_code(int code)
{
	return ((code & 0xff) == SQLITE_NOMEM && capped) || (code & 0xff) == SQLITE_INTERRUPT ? SQLITE_CORRUPT : code;
}

/* ---- errors ---- */

const char *ul_sqlite_message(sqlite3 *db)
{
	int code = sqlite3_errcode(db);

	if ((code & 0xff) == SQLITE_INTERRUPT)
		return "its pages lead to each other: reading it comes to no end";
	return ul_sqlite_code(code) == code ? sqlite3_errmsg(db) : "it claims a value that is longer than the file";
}

int ul_sqlite_error(struct ul_error *err, sqlite3 *db, const char *work, const char *object)
{
	int code = ul_sqlite_code(db ? sqlite3_errcode(db) : SQLITE_NOMEM);

	if (code == SQLITE_NOMEM)
		return ul_error_nomem(err, work);
	if (code == SQLITE_FULL)
		return ul_error_set(err, UL_E_SYSTEM, work, object, "Make room there.", "no space left");
	return ul_error_set(err, UL_E_DATABASE, work, object, NULL, "%s", ul_sqlite_message(db));
}

/* ---- opening ---- */

char *ul_sqlite_uri(const char *path, const char *query)
{
	ul_autobuffer struct ul_buffer uri = {0};
	/* The empty authority of a URI: without it, a path that begins with two slashes would be taken for one. */
	int r = ul_buffer_printf(&uri, "file:%s", path[0] == '/' ? "//" : "");

	for (; *path && r == 0; path++)
		r = strchr("%?#", *path) ? ul_buffer_printf(&uri, "%%%02x", (unsigned char)*path)
					 : ul_buffer_append(&uri, path, 1);
	if (r == 0)
		r = ul_buffer_printf(&uri, "?%s", query);
	return r == 0 && ul_buffer_string(&uri) ? strdup((char *)uri.data) : NULL;
}

/* Bytes of the file and its log. */
static int64_t bytes_of(sqlite3 *db)
{
	sqlite3_file *file = NULL;
	sqlite3_int64 size = 0;
	struct stat log;

	/* This is the file that is open, whatever its name leads to by now. */
	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file ||
	    !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK || size < 0)
		size = 0;
	if (stat(sqlite3_filename_wal(sqlite3_db_filename(db, "main")), &log) == 0)
		size += log.st_size;
	return size;
}

/* Bytes that the longest value of the file can have, and a page of the largest size for what is written to it. */
static int longest_value(int64_t size)
{
	return size > LONGEST - LARGEST_PAGE ? LONGEST : (int)size + LARGEST_PAGE;
}

/* ---- what SQLite may do ---- */

#define BUDGET "underlay_budget"

/* What makes SQLite free the budget of a connection with it; it does nothing, and no schema may call it. */
static void no_function(sqlite3_context *context, int n, sqlite3_value **values)
{
	(void)n;
	(void)values;
	sqlite3_result_null(context);
}

static int count_steps(void *user)
{
	int64_t *left = user;

	*left -= *left > 0;
	return *left == 0;
}

/* SQLite bounds the depth of a tree, not how often its pages lead to the same one: few pages hold rows without end. */
static int bound_steps(sqlite3 *db, int64_t size)
{
	int64_t *left = malloc(sizeof(*left));
	int code;

	if (!left)
		return SQLITE_NOMEM;
	*left = (STEPS_LEAST + (size < INT64_MAX / STEPS_A_BYTE / 2 ? size : 0) * STEPS_A_BYTE) / STEP;
	/* It frees it when this fails, too. */
	code = sqlite3_create_function_v2(db, BUDGET, 0, SQLITE_UTF8 | SQLITE_DIRECTONLY, left, no_function, NULL, NULL,
					  free);
	if (code == SQLITE_OK)
		sqlite3_progress_handler(db, STEP, count_steps, left);
	return code;
}

void ul_sqlite_trust_length(sqlite3 *db)
{
	sqlite3_progress_handler(db, 0, NULL, NULL);
}

/* ---- opening it ---- */

int ul_sqlite_open(const char *path, int flags, sqlite3 **ret)
{
	int code = sqlite3_open_v2(path, ret, flags, NULL);
	sqlite3 *db = *ret;
	int64_t size;
	size_t most;

	if (code != SQLITE_OK)
		return code;
	size = bytes_of(db);
	code = bound_steps(db, size);
	if (code != SQLITE_OK)
		return code;
	/* A schema can hold code (triggers, views, functions in index expressions): none of it runs. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	most = (size_t)longest_value(size);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)most);
	/* The limit does not hold for the list of a value's pages: SQLite takes their number from the value. */
	most += OWN_MOST;
	cap = cap == SIZE_MAX || cap < most ? most : cap;
	capped = false;
	/* Fails only on a file that every later statement fails on too. */
	sqlite3_exec(db, "pragma cell_size_check = on", NULL, NULL, NULL);
	return SQLITE_OK;
}

int ul_sqlite_open_immutable(const char *path, sqlite3 **ret)
{
	ul_autofree char *uri = ul_sqlite_uri(path, UL_SQLITE_IMMUTABLE);

	*ret = NULL;
	return uri ? ul_sqlite_open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, ret) : SQLITE_NOMEM;
}

int ul_sqlite_create(const char *path, sqlite3 **ret)
{
	cap = SIZE_MAX;
	return sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
}

bool ul_sqlite_has_table(sqlite3 *db, const char *table)
{
	return sqlite3_table_column_metadata(db, "main", table, NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}
