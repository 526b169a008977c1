/* The two modes: the upper's database made right for this lower. */
#pragma once

#include "dbgen/reconcile/db_file.h"
#include "dbgen/reconcile/lower_rows.h"
#include "dbgen/reconcile/marks.h"
#include "dbgen/reconcile/upper_dir.h"
#include "dbgen/reconcile/upper_store.h"

/* All that a run works with. reconcile.c opens and closes it. */
struct ul_agreement {
	const struct ul_reconcile_options *o;
	const char *store_dir;
	struct ul_upper_dir upper;
	struct ul_marks marks; /* as the last run left them */
	struct ul_lower_rows lower;
	struct ul_upper_store store;
	struct ul_db_file db;
};

/* db.max_id is the database's when this is done. */
int ul_agree_attached(struct ul_agreement *a);
int ul_agree_rebuilt(struct ul_agreement *a);
