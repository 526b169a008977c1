/*
 * lower.json and the clean mark: what the upper says of itself. See reconcile.h for their form and what is promised
 * of them.
 */
#pragma once

#include "dbgen/reconcile/id_ranges.h"
#include "dbgen/reconcile/upper_dir.h"

/* An identity that no lower has: neither hex digits nor "manifest:...". */
#define UL_MARKS_NO_LOWER "none"

/*
 * What tells that nobody wrote to the database: every way of writing it sets the file's time. (Its change counter does
 * not: SQLite leaves it alone where a transaction went through the log.)
 */
struct ul_db_print {
	uint64_t size; /* bytes; 0: there is no database */
	uint64_t time; /* of the last change, nanoseconds since 1970 */
};

/* All zero: there is no lower.json that counts, and no clean mark. */
struct ul_marks {
	bool known;               /* lower.json could be read: */
	bool rebuild;             /* the database's mode */
	int64_t checked_id;       /* what was registered above it is not checked yet */
	char identity[160];       /* of the lower */
	struct ul_db_print print; /* of the database, when the last run ended */
	uint64_t upper_paths;     /* its rows that only the upper has, then */
	bool clean;               /* the clean mark is there, */
	int64_t clean_id;         /* made at this id */
	/* Ids up to checked_id whose rows were of the upper's paths; the others' were of the lower's. */
	struct ul_id_ranges upper_ids;
};

/*
 * Whether an id of the database was one of the lower's paths that the marks are of. In a rebuilt database the ids
 * above checked_id are the upper's; in an attached one Nix puts copies of the lower's rows there as well, and what
 * tells them is that the upper has no files of the path. gone: there is a sound row of this id, and neither the upper
 * nor this lower has its path. Where an older Underlay recorded no ids, any may be the lower's.
 */
bool ul_marks_was_lowers(const struct ul_marks *m, int64_t id, bool gone);

/* The lower's name in lower.json. */
void ul_marks_identity(const struct ul_reconcile_lower *lower, char *buf, size_t size);

int ul_marks_read(struct ul_upper_dir *u, struct ul_marks *ret);

/* Write lower.json, where it does not say this already: now, but for its clean mark. */
int ul_marks_write_lower(struct ul_upper_dir *u, const struct ul_marks *before, const struct ul_marks *now,
			 const struct ul_reconcile_options *o);

/*
 * Before the first entry moves between the layers and the quarantine for another lower's sake: write lower.json so that
 * it names no lower. Were the run cut, the one that is recorded would be taken for the one that the upper agrees with.
 * Everything else that the file says stays.
 */
int ul_marks_leave_lower(struct ul_upper_dir *u, struct ul_marks *marks, const struct ul_reconcile_options *o);

int ul_marks_remove_clean(struct ul_upper_dir *u);
int ul_marks_write_clean(struct ul_upper_dir *u, int64_t max_id);
