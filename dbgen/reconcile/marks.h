/*
 * lower.json and the clean mark: what the upper says of itself. See reconcile.h for their form and what is promised
 * of them.
 */
#pragma once

#include "dbgen/reconcile/upper_dir.h"

/* All zero: there is no lower.json that counts, and no clean mark. */
struct ul_marks {
	bool known;         /* lower.json could be read: */
	bool rebuild;       /* the database's mode */
	int64_t checked_id; /* what was registered above it is not checked yet */
	char identity[160]; /* of the lower */
	bool clean;         /* the clean mark is there, */
	int64_t clean_id;   /* made at this id */
};

/* The lower's name in lower.json. */
void ul_marks_identity(const struct ul_reconcile_lower *lower, char *buf, size_t size);

int ul_marks_read(struct ul_upper_dir *u, struct ul_marks *ret);

/* Write lower.json, where it does not say this already. max_id: of the database, now that all is done. */
int ul_marks_write_lower(struct ul_upper_dir *u, const struct ul_marks *before, const struct ul_reconcile_options *o,
			 int64_t max_id);

int ul_marks_remove_clean(struct ul_upper_dir *u);
int ul_marks_write_clean(struct ul_upper_dir *u, int64_t max_id);
