/* The upper's database as files, before SQLite is let at them, and SQLite's connection to it. */
#pragma once

#include <sqlite3.h>

#include "dbgen/database/db.h"
#include "dbgen/reconcile/marks.h"
#include "dbgen/reconcile/upper_dir.h"

#define UL_DB_FILE_DIR  "var/nix/db" /* from the upper's root */
#define UL_DB_FILE_NAME "db.sqlite"

struct ul_db_file {
	struct ul_upper_dir *upper; /* borrowed */
	char path[4096];            /* upper->path/var/nix/db/db.sqlite */
	int dir_fd;                 /* the database's directory; -1: there is none */
	sqlite3 *db;                /* NULL: closed, or there is none (any more) */
	bool log;                   /* it had a log when it was opened */
	bool intact;                /* a Nix can work with its schema, the file `schema` is right, nothing was wrong */
	char why[200];              /* where it is not intact: what is wrong, after "db.sqlite: " */
	int failure;                /* of ul_db_file_left_out */
	int64_t max_id;             /* the greatest id of ValidPaths, when it was last opened or written; 0: no row */
};

/* Closed; nothing is touched. -UL_E_UPPER: the path is too long. */
int ul_db_file_init(struct ul_db_file *f, struct ul_upper_dir *u);

/* Close everything, whatever is open. */
void ul_db_file_close(struct ul_db_file *f);

/*
 * Open it anew: make its files ones that SQLite may be let at (regular files, a journal that leads nowhere else),
 * then bring its log home. f->db is NULL where there is no database. A damaged one is open, but not intact.
 */
int ul_db_file_open(struct ul_db_file *f);

/* Close SQLite's connection, so that the file may be replaced: it has no log afterwards. */
int ul_db_file_shut(struct ul_db_file *f);

/* Close the connection, and move the database and its logs to the quarantine. */
int ul_db_file_quarantine(struct ul_db_file *f, const char *why);

/* What SQLite says of the connection, as a failure of the upper: -UL_E_UPPER or -UL_E_MEMORY. */
int ul_db_file_fail(struct ul_db_file *f);

/*
 * Another connection, to read what is there when this one is closed; in a dry run, what the log adds as well. 0,
 * -ENOMEM, or -EIO. *ret is the caller's to close.
 */
int ul_db_file_read(struct ul_db_file *f, sqlite3 **ret);

/* Write it anew, making the directory where it is not there. */
int ul_db_file_build(struct ul_db_file *f, struct ul_manifest *m, const struct ul_db_options *options);

/* For options->left_out, with options->user a struct ul_db_file: a note in the report; failure is its own. */
void ul_db_file_left_out(void *user, const char *name, const char *why);

/* What tells whether somebody wrote to it since; all zero where there is no database. */
void ul_db_file_print(const struct ul_db_file *f, struct ul_db_print *ret);

/* The greatest id of ValidPaths; 0: no row. 0 or -EIO. */
int ul_db_file_max_id(sqlite3 *db, int64_t *ret);
