/* quarantine/: where things of the upper are moved that are in the way; see quarantine.c. */
#pragma once

#include "dbgen/reconcile/upper_dir.h"

/*
 * Rename name (in the directory dirfd) into this run's quarantine, whatever it is. It is opened only to take flags off
 * that keep it where it is. Not in a dry run. A name that is not there is not a failure.
 */
int ul_quarantine_move(struct ul_upper_dir *u, int dirfd, const char *name);

/* Worthless things: renamed into quarantine/trash, from where they are removed, a bounded number at each boot. */
int ul_quarantine_discard(struct ul_upper_dir *u, int dirfd, const char *name);

struct ul_quarantine_limits {
	uint64_t age;  /* seconds; older runs go; 0: age does not count */
	uint64_t size; /* bytes that may stay; 0: any number */
	bool all;      /* everything goes: there is no other room on the disk */
};

/* Remove what the limits want removed, a bounded number of files. */
int ul_quarantine_empty(struct ul_upper_dir *u, const struct ul_quarantine_limits *limits);
