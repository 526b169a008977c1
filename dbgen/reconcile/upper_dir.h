/*
 * The upper as a directory of hostile files: every part of reconcile works on it, and tells failures and deeds
 * through it. Whoever has the disk can write it, so nothing is followed, and what has the wrong type is moved away
 * (quarantine.h).
 */
#pragma once

#include <stdbool.h>

#include "dbgen/layers/trash.h"
#include "dbgen/reconcile/reconcile.h"

/* A directory that one run makes in quarantine/. */
struct ul_quarantine_run {
	int fd;        /* -1: nothing was moved yet */
	char name[64]; /* "00000007-20260101T000000Z" */
};

struct ul_upper_dir {
	int fd;           /* root directory of the upper's filesystem; borrowed */
	const char *path; /* the same as a path, which SQLite wants; borrowed */
	bool dry_run;     /* nothing is written */
	struct ul_reconcile_report *report;
	struct ul_error *err;
	struct ul_trash trash; /* opened when it is wanted */
	struct {
		int fd;                           /* quarantine/; -1: not opened yet */
		struct ul_quarantine_run runs[2]; /* this boot's; [true]: of what is superseded */
	} quarantine;
};

void ul_upper_dir_init(struct ul_upper_dir *u, const struct ul_reconcile_options *o, struct ul_reconcile_report *report,
		       struct ul_error *err);
void ul_upper_dir_close(struct ul_upper_dir *u);

/* Throw an entry away, whatever it is (dbgen/layers/trash.h). Not in a dry run; what is not there is not a failure. */
int ul_upper_dir_discard(struct ul_upper_dir *u, int dirfd, const char *name);

/* Remove at most `most` files of what was thrown away, at this boot or before. */
int ul_upper_dir_empty_trash(struct ul_upper_dir *u, unsigned int most);

/* A failure of the upper: -UL_E_UPPER with errno's words, and what to do where the disk is full. */
int ul_upper_dir_fail(struct ul_upper_dir *u, const char *object, int errnum);
int ul_upper_dir_nomem(struct ul_upper_dir *u);

/* A writer's failure of the system is one of the upper: r, or -UL_E_UPPER. */
int ul_upper_dir_error(struct ul_upper_dir *u, int r);

/* Tell the report. format is printf's. 0 or -UL_E_MEMORY. */
int ul_upper_dir_report(struct ul_upper_dir *u, enum ul_reconcile_action action, const char *name, const char *format,
			...) __attribute__((format(printf, 4, 5)));
