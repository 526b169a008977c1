/* The two modes: the upper's database made right for this lower. */
#pragma once

#include "dbgen/reconcile/db_file.h"
#include "dbgen/reconcile/lower_rows.h"
#include "dbgen/reconcile/marks.h"
#include "dbgen/reconcile/upper_dir.h"
#include "dbgen/reconcile/upper_store.h"

/* What the next step that finds the disk full takes the room from: see room.c. */
enum ul_room { UL_ROOM_RESERVE, UL_ROOM_JUNK, UL_ROOM_SUPERSEDED, UL_ROOM_NONE };

/* All that a run works with. reconcile.c opens and closes it. */
struct ul_agreement {
	const struct ul_reconcile_options *o;
	bool asking; /* a dry run that only finds out what another lower than before would cost */
	const char *store_dir;
	struct ul_upper_dir upper;
	struct ul_marks marks;         /* as the last run left them */
	struct ul_id_ranges upper_ids; /* what this run leaves for them */
	struct ul_lower_rows lower;
	struct ul_upper_store store;
	struct ul_db_file db;
	bool whole;   /* the database was there, was Nix's and nothing of it was lost: a path without a row has none */
	bool unswept; /* the kept layer may have more that no row names */
	enum ul_room room;
	bool left_before;    /* lower.json named no lower when this run began */
	bool not_restored;   /* what was superseded could not come back now: the next boot tries again, once */
	bool cannot_aside;   /* the quarantine took nothing when it should have */
	bool discard_sealed; /* so what is superseded is thrown away */
};

/* The database is open: whether it is the very one that the last run left for this lower. */
bool ul_agree_unchanged(const struct ul_agreement *a);

/* The marks of another lower, whose paths this one may lack; NULL: it is the same one, or nobody knows. */
const struct ul_marks *ul_agree_before(const struct ul_agreement *a);

/* db.max_id and upper_ids are the database's when this is done. */
int ul_agree_attached(struct ul_agreement *a);
int ul_agree_rebuilt(struct ul_agreement *a);
