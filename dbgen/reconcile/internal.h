/* What the files of reconcile share; see reconcile.h. */
#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "dbgen/database/rows/write.h"
#include "dbgen/reconcile/reconcile.h"
#include "dbgen/store/store_path.h"

extern const char ul_rc_what[]; /* "making the upper agree with the lower": the `what` of errors */

#define UL_RC_SHOWN  400          /* bytes of a name that a report shows */
#define UL_RC_DB_DIR "var/nix/db" /* from the upper's root */

/* lower.json as read; all zero: there is none that counts. */
struct ul_rc_identity {
	bool known;
	bool rebuild;
	int64_t checked_id;
	char identity[160];
};

/* A look into the lower: one path at a time, at a cost that does not follow its size. */
struct ul_rc_lower {
	struct ul_manifest *manifest;
	const char *name; /* of the database, for messages */
	sqlite3 *db;      /* NULL: the manifest answers */
	sqlite3_stmt *row, *refs, *outputs;
	struct ul_batch_reader *reader, *names;
	struct ul_batch batch; /* the last one read */
	struct ul_buffer texts;
	struct ul_buffer list; /* const char *: the references of the last answer */
};

struct ul_rc {
	const struct ul_reconcile_options *o;
	struct ul_reconcile_report *report;
	struct ul_error *err;
	const char *store_dir;
	struct ul_rc_identity before;
	struct ul_rc_lower lower;
	int store_fd;                         /* the upper's store/ */
	int db_fd;                            /* the database's directory; -1: there is none */
	int quarantine_fd;                    /* quarantine/, -1: nothing was opened yet */
	int run_fd;                           /* the directory of this run in it, -1: nothing was moved yet */
	char run_name[64];                    /* "00000007-20260101T000000Z" */
	struct ul_buffer names;               /* texts of the entries of store/ */
	struct ul_buffer entries;             /* const char *: sorted, those that stay */
	bool marked;                          /* the clean mark is there, */
	int64_t marked_id;                    /* made at this id */
	uint64_t lost;                        /* paths of the upper that go because what they refer to went */
	char lost_name[UL_BASE_NAME_MAX + 1]; /* the first of them */
	bool desperate;                       /* there is no space: the whole quarantine may go */
	bool shadowed;                        /* something with a sealed name was moved away */
	bool has_log;                         /* SQLite's log holds something */
	bool schema_right;                    /* the file `schema` says what it should */
	int64_t max_id;                       /* of the database, when all is done */
	char db_path[4096];                   /* upper_path/var/nix/db/db.sqlite */
};

/* ---- errors ---- */

/* A failure of the upper: -UL_E_UPPER with errno's words and what to do where the disk is full. */
int ul_rc_fail_upper(struct ul_rc *c, const char *object, int errnum);
int ul_rc_nomem(struct ul_rc *c);

/* What a writer's failure is here: of the system, so of the upper. Returns r or its other code. */
int ul_rc_upper_error(struct ul_rc *c, int r);

/* ---- report.c ---- */

/* Count and remember. why is printf's. 0 or -UL_E_MEMORY. */
int ul_rc_report(struct ul_rc *c, enum ul_reconcile_action action, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- identity.c ---- */

/* The lower's name in lower.json. */
void ul_rc_identity_of(const struct ul_reconcile_lower *lower, char *buf, size_t size);
int ul_rc_identity_read(struct ul_rc *c);
int ul_rc_identity_write(struct ul_rc *c);

/* Whether the clean mark is there; *ret_max_id: the id that it was made at. */
int ul_rc_mark_read(struct ul_rc *c, bool *ret_marked, int64_t *ret_max_id);
int ul_rc_mark_remove(struct ul_rc *c);
int ul_rc_mark_write(struct ul_rc *c, int64_t max_id);

/* ---- quarantine.c ---- */

/*
 * Rename name (in the directory dirfd) into this run's quarantine, whatever it is. Nothing is opened but to take flags off
 * that keep it where it is. Not in a dry run; what is not there is no failure.
 */
int ul_rc_quarantine(struct ul_rc *c, int dirfd, const char *name);

/* Worthless things: renamed into quarantine/trash, from where they are removed, a bounded number at each boot. */
int ul_rc_discard(struct ul_rc *c, int dirfd, const char *name);

/* What stands in the way of a file of this name, or of its temporary one, and is none: moved away. */
int ul_rc_make_way(struct ul_rc *c, int dirfd, const char *name);

/* Open a directory of the upper; what is there and none is moved away. *ret_fd: -1 where there is none then. */
int ul_rc_open_dir(struct ul_rc *c, int dirfd, const char *name, int *ret_fd);

/* Remove what the policy wants removed, a bounded number of files. */
int ul_rc_quarantine_empty(struct ul_rc *c);

/* ---- reserve.c ---- */

/* Give up the room that is kept for this. false: there was none. */
bool ul_rc_reserve_release(struct ul_rc *c);

/* Keep room for the next database, where the disk has plenty. Not having it is no failure. */
void ul_rc_reserve_keep(struct ul_rc *c);

/* ---- shadow.c ---- */

/* Nothing in store/ has a sealed name afterwards; c->entries lists what stays. */
int ul_rc_shadow(struct ul_rc *c);

/* Whether store/ holds this base name. */
bool ul_rc_has_entry(const struct ul_rc *c, const char *base);

/* ---- lower.c ---- */

int ul_rc_lower_open(struct ul_rc_lower *l, const struct ul_reconcile_lower *from, struct ul_error *err);
void ul_rc_lower_close(struct ul_rc_lower *l);

/* 1: the lower has this path; 0: not. */
int ul_rc_lower_has(struct ul_rc_lower *l, const char *base, struct ul_error *err);

/*
 * All of it. 1, 0 or negative. The texts stay until the next call. References come in path order.
 */
int ul_rc_lower_info(struct ul_rc_lower *l, const char *base, struct ul_path_info *ret, struct ul_error *err);

/* Give the derivation outputs of a path to the builder. */
int ul_rc_lower_outputs(struct ul_rc_lower *l, const char *base, struct ul_builder *b, struct ul_error *err);

/* ---- open.c: the database as a file ---- */

/*
 * Make the database's files ones that SQLite may be let at: regular files, a journal that leads nowhere else; then bring
 * its log home. *ret: NULL where there is no database (any more). *ret_intact: its schema is Nix's and nothing was wrong.
 */
int ul_rc_db_open(struct ul_rc *c, sqlite3 **ret, bool *ret_intact);

/* Close it; it has no log afterwards. */
int ul_rc_db_close(struct ul_rc *c, sqlite3 *db);

/* Move the database and its logs to the quarantine. */
int ul_rc_db_quarantine(struct ul_rc *c, const char *why);

/* The greatest id of ValidPaths; 0: no row. */
int ul_rc_db_max_id(sqlite3 *db, int64_t *ret);

/* ---- rows.c: the upper's rows in memory ---- */

enum ul_rc_fate {
	UL_RC_KEPT,
	UL_RC_MALFORMED, /* Nix could not have written it */
	UL_RC_GONE,      /* neither lower nor upper has the path */
	UL_RC_BROKEN,    /* its files are not those that were registered */
	UL_RC_REFERENCE, /* it refers to one that is not kept */
};

struct ul_rc_row {
	int64_t id;
	size_t base;              /* offset in texts; the base name, or the whole text where malformed */
	size_t deriver, sigs, ca; /* offsets in texts; 0: none */
	size_t first_ref;         /* in refs */
	uint32_t n_refs;
	bool named;    /* its path is one of the store directory */
	bool lower;    /* the lower has this path */
	bool differs;  /* from what the lower says of it */
	bool stripped; /* metadata that Nix could not have written was left out */
	uint8_t ultimate;
	uint8_t fate; /* enum ul_rc_fate */
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size;
	int64_t registered;
};

struct ul_rc_rows {
	struct ul_buffer list;  /* struct ul_rc_row, by id */
	struct ul_buffer refs;  /* int64_t: ids */
	struct ul_buffer texts; /* NUL-terminated; offset 0 is empty */
	bool damaged;           /* some of it could not be read */
};

static inline struct ul_rc_row *ul_rc_row_list(const struct ul_rc_rows *rows)
{
	return (struct ul_rc_row *)(void *)rows->list.data;
}

static inline size_t ul_rc_n_rows(const struct ul_rc_rows *rows)
{
	return rows->list.len / sizeof(struct ul_rc_row);
}

static inline const char *ul_rc_text(const struct ul_rc_rows *rows, size_t offset)
{
	return (const char *)rows->texts.data + offset;
}

static inline const int64_t *ul_rc_row_refs(const struct ul_rc_rows *rows, const struct ul_rc_row *row)
{
	return (const int64_t *)(const void *)rows->refs.data + row->first_ref;
}

/* All of it; what a damaged database cannot give is left out. */
int ul_rc_rows_load(struct ul_rc *c, sqlite3 *db, struct ul_rc_rows *ret);
void ul_rc_rows_free(struct ul_rc_rows *rows);

/* By id; NULL: none. */
struct ul_rc_row *ul_rc_rows_find(const struct ul_rc_rows *rows, int64_t id);

/* Decide each row's fate. prune: what the lower says of its rows need not be compared. */
int ul_rc_rows_judge(struct ul_rc *c, struct ul_rc_rows *rows, bool prune);

/* What the report calls a path: its base name where it lies in the store directory. */
const char *ul_rc_shown(const struct ul_rc *c, const char *path);

/* Tell the report of a path that goes; counts what a refusal is decided by. */
int ul_rc_report_invalid(struct ul_rc *c, const char *base, enum ul_rc_fate fate);

/* Tell the report of each row that goes or changes. */
int ul_rc_rows_report(struct ul_rc *c, const struct ul_rc_rows *rows);

/* ---- check.c: half-written paths ---- */

/* The NAR of an entry of store/. 1: right; 0: not; negative. size: bytes, 0: not known. */
int ul_rc_check_nar(struct ul_rc *c, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE], uint64_t size);

/* Take the files of a path out of the way of its next build. */
int ul_rc_remove_broken(struct ul_rc *c, const char *base);

/* ---- attach.c, rebuild.c ---- */

/*
 * The kept rows, what they need of the lower and, unless prune, the other rows of the lower, as a manifest of their
 * own. Free both with ul_manifest_close and ul_buffer_free.
 */
int ul_rc_rows_manifest(struct ul_rc *c, sqlite3 *db, const struct ul_rc_rows *rows, bool prune,
			struct ul_buffer *bytes, struct ul_manifest **ret);

int ul_rc_attach(struct ul_rc *c);
int ul_rc_rebuild(struct ul_rc *c);

/* ---- roots.c ---- */

/* Report roots and profiles that lead to no path; a bounded walk. */
int ul_rc_roots(struct ul_rc *c);
