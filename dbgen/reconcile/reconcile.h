/*
 * Reconcile: make an upper that survives agree with the lower that lies under it at this boot. An upper can add,
 * never replace; every path that Nix calls valid is there; the cost follows the upper, not the lower.
 *
 * On the upper's filesystem (its root directory is `upper_fd`) everything is hostile input: whoever has the disk can
 * write it while the machine is off. What has the wrong type is moved out of the way, nothing is followed, every read
 * is bounded, and SQLite runs no code of the database's schema.
 *
 * lower.json   what this upper was last made to agree with. At most 64 KiB.
 *     {"format": 1, "identity": "ROOT HASH in hex" | "manifest:CHECKSUM", "name", "version", "database": "attach" |
 *      "rebuild", "checkedId": 123, "databaseSize": 81920, "databaseTime": 1767225600000000000, "upperPaths": 17,
 *      "upperIds": [101, 117, 120, 121]}
 *     identity: of the lower; "none" while step 3 below is under way; of an image that is not sealed (tests, an
 *     offline manifest) its manifest's header checksum, which covers the whole manifest. checkedId: the highest id of
 *     ValidPaths when the last reconcile ended: what is registered above it was registered by the system that ran
 *     since. databaseSize, databaseTime: bytes and time of the last change (nanoseconds since 1970) of the database
 *     then. Where they still hold, nobody wrote to it, and none of its rows is looked at. upperPaths: its rows of
 *     paths that the lower does not have. upperIds: the ids that are not of the lower's rows, as ranges [start, end),
 *     at most 1024; others up to checkedId are the lower's. Over another lower they tell what it lacks from what is
 *     damaged; without them (an older Underlay wrote the file) any id may be the lower's. Missing, unreadable or
 *     malformed: the lower counts as another one and checkedId as 0.
 *
 * clean        the clean mark: {"format": 1, "maxId": 123}, written by ul_reconcile_mark_clean when the system shuts
 *     down, after everything else was synced. It is removed before anything is written or the system runs. It counts
 *     only where maxId is the database's highest id: who writes after the mark takes it away. Without it the paths with
 *     an id above checkedId have their NAR hash checked, and no others. (A path that Nix repaired in place keeps its
 *     id and is not checked.)
 *
 * report.json  what the last reconcile that did anything did: see report.c.
 *
 * reserve      room for the next database, given up when the disk is full: see dbgen/layers/reserve.h.
 *
 * quarantine/NNNNNNNN-STAMP/  what was moved out of the way by run NNNNNNNN; see quarantine.c.
 *     NNNNNNNN-STAMP-superseded/: what this machine built and another lower seals, with its rows; see supersede.c, and
 *     restore.c for the way back.
 *
 * The order of writes, and what a cut leaves behind each of them:
 *   1. `clean` is removed, the directory synced.       Cut: the next boot checks a bounded number of hashes in vain.
 *   2. What SQLite's log holds goes into the database (SQLite's own checkpoint). Cut: SQLite replays it.
 *   3. Over another lower: what it does not seal any more comes back from quarantine/ (restore.c), what it seals goes
 *      there (supersede.c). Before the first rename lower.json is written so that it names no lower. Cut: whichever
 *      lower is next is another one than that, and gives back, or sets aside, what it must.
 *   4. Files of paths whose NAR hash is wrong are renamed into quarantine/. Cut: the path is missing at the next boot.
 *   5. Where rows are to change, a new database is written beside the old one, with what a Nix that is not known here
 *      put into that (dbgen/database/merge/carry.h): db.sqlite.tmp, synced, the empty log removed, renamed over
 *      db.sqlite, the directory synced. Cut: the old one, whole, or the new one, whole. The running database is changed
 *      in place only where an index or trigger is missing that each Nix makes, and for the rows of step 3 that come
 *      back, in a transaction of SQLite's.
 *   6. What the kept layer has that no row names is renamed into trash/ (sweep.c), and files of the trash are removed.
 *      Cut: the rest is found at the next boot.
 *   7. report.json, then lower.json, each by temporary name, sync, rename, sync. Cut before lower.json: the next boot
 *      reconciles again, finds nothing to change, and writes it.
 * A disk that is full to its last block: each of these steps is done again once there is room (room.c).
 * So each run ends in the same state however often it was cut, and a run over that state writes nothing.
 *
 * What is promised against a forged database: where somebody wrote to it since the last boot, rows of sealed paths are
 * compared with the lower, or go, when that is attached; a rebuilt one is used as it is after a clean shutdown, but
 * for a few rows. check_always compares all of them, or writes all anew, at every boot. Whoever forges the database,
 * its time, lower.json and the mark makes Nix believe wrong metadata until then, but not serve wrong content: of a
 * sealed name nothing but the lower's is ever seen (dbgen/layers/names.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/vector.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/store/store_path.h"

enum ul_reconcile_mode { UL_RECONCILE_ATTACH, UL_RECONCILE_REBUILD };

/* The lower, opened and verified by the caller. */
struct ul_reconcile_lower {
	struct ul_manifest *manifest;
	const char *database;       /* its own db.sqlite, sealed like it; NULL: rows come from the manifest */
	const char *identity;       /* root hash in hex; NULL: the manifest's checksum stands for it */
	const char *name, *version; /* for lower.json and messages; NULL: unknown */
};

struct ul_reconcile_options {
	int upper_fd;           /* root directory of the upper's filesystem */
	const char *upper_path; /* the same as a path, which SQLite wants */
	struct ul_reconcile_lower lower;
	enum ul_reconcile_mode mode;
	bool refuse;              /* vanished = refuse: fail before anything is written */
	bool check_always;        /* believe no database: attach: compare it, rebuild: write it anew, at every boot */
	bool dry_run;             /* find out and report; write nothing */
	uint64_t quarantine_age;  /* seconds; older ones are removed; 0: age does not count */
	uint64_t quarantine_size; /* bytes that the quarantine may hold; 0: any number */
};

/* The action taken for one name. */
enum ul_reconcile_action {
	UL_RECONCILE_QUARANTINED, /* something of the wrong type, or not what was registered: moved away */
	UL_RECONCILE_RESTORED,    /* what was superseded once: back in its place, with its row */
	UL_RECONCILE_SWEPT,       /* an entry of the kept layer that no row names: thrown away */
	UL_RECONCILE_INVALIDATED, /* a path that was valid and is not any more */
	UL_RECONCILE_UPDATED,     /* a row that took the lower's metadata */
	UL_RECONCILE_DANGLING,    /* a root or profile that leads to nothing: left as it is */
	UL_RECONCILE_NOTE,        /* anything else, in words */
	UL_RECONCILE_N_ACTIONS
};

struct ul_reconcile_item {
	enum ul_reconcile_action action;
	/* As the disk has them, any byte: who prints them escapes them. */
	char *name; /* base name of a store path, name on the upper, or path of a root; long ones are cut */
	char *why;
};

struct ul_reconcile_report {
	bool lower_changed;        /* it is not the one of lower.json, or the database's mode is not */
	bool first;                /* there was no lower.json that could be read */
	bool was_clean;            /* the clean mark was there and right */
	bool database_kept;        /* nothing was to change in it */
	bool database_trouble;     /* it was not as it should be: a note tells it too */
	char database_reason[200]; /* why it is not kept, or is not there; "": it is kept */
	char identity[160];        /* of the lower, as in lower.json */
	uint64_t n[UL_RECONCILE_N_ACTIONS];
	uint64_t checked;     /* paths whose NAR hash was computed */
	uint64_t upper_paths; /* rows of paths that only the upper has, afterwards */
	uint64_t sessions;    /* layers of earlier boots that are not joined yet (dbgen/layers/join.h) */
	uint64_t emptied;     /* quarantines that were removed for good */
	uint64_t database_us; /* time that the database took */
	uint64_t lost;        /* of those that were invalidated: because they refer to what this lower lacks */
	char first_lost[UL_BASE_NAME_MAX + 1];
	UL_VECTOR(struct ul_reconcile_item) list; /* texts owned; the first UL_RECONCILE_LISTED of each action */
};

#define UL_RECONCILE_LISTED 10000 /* items of one action that are kept by name; all are counted */

void ul_reconcile_report_free(struct ul_reconcile_report *r);

/* Its items and their number. */
const struct ul_reconcile_item *ul_reconcile_items(const struct ul_reconcile_report *r, size_t *ret_n);

/* "quarantined", "invalidated", ...: the member of report.json. */
const char *ul_reconcile_action_name(enum ul_reconcile_action action);

/*
 * The report as JSON, with at most `most` names of each action: for report.json and state.json. name and version of the
 * lower may be NULL. NULL: no memory.
 */
struct json_object;
struct json_object *ul_reconcile_report_json(const struct ul_reconcile_report *r, const char *name, const char *version,
					     size_t most);

/* Anything that a report should be written for. */
bool ul_reconcile_did_something(const struct ul_reconcile_report *r);

/*
 * Do it. The caller holds the upper's lock, and nothing else uses the upper. *ret is filled as far as it went, also
 * on failure: free it. Errors: -UL_E_RECONCILE: refused, nothing was written; -UL_E_UPPER: the upper cannot be
 * written (no space, an I/O error, something that cannot be moved); -UL_E_MANIFEST, -UL_E_DATABASE, -UL_E_CORRUPT: of
 * the lower; -UL_E_MEMORY.
 */
int ul_reconcile(const struct ul_reconcile_options *o, struct ul_reconcile_report *ret, struct ul_error *err);

/*
 * The clean mark, for the end of a system's run: sync the filesystem of upper_fd, then write `clean`. *ret_marked:
 * false where this upper was never reconciled (a tmpfs), so that there is nothing to mark.
 */
int ul_reconcile_mark_clean(int upper_fd, const char *upper_path, bool *ret_marked, struct ul_error *err);
