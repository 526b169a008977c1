/* quarantine/: where things of the upper are moved that are in the way; see quarantine.c. */
#pragma once

#include "common/names.h"
#include "dbgen/reconcile/upper_dir.h"

/*
 * Rename name (in the directory dirfd) into this run's quarantine, whatever it is. It is opened only to take flags off
 * that keep it where it is. Not in a dry run. A name that is not there is not a failure.
 */
int ul_quarantine_move(struct ul_upper_dir *u, int dirfd, const char *name);

/*
 * The same into the run of what another lower supersedes, from which it may come back; and the directory of that run,
 * which is made where it is not there. The descriptor is borrowed.
 */
int ul_quarantine_supersede(struct ul_upper_dir *u, int dirfd, const char *name);
int ul_quarantine_open_superseded(struct ul_upper_dir *u, int *ret_fd);

/* The names of all runs of what was superseded, the oldest first. */
int ul_quarantine_list_superseded(struct ul_upper_dir *u, struct ul_names *ret);

/* A run of that list: its descriptor, the caller's to close, or -errno. */
int ul_quarantine_open_run(const struct ul_upper_dir *u, const char *run);

/* Rename an entry of it to where it came from. -UL_E_UPPER, also where that name is taken. */
int ul_quarantine_take_back(struct ul_upper_dir *u, int run_fd, const char *entry, int to_fd, const char *name);

/* Remove the run, where nothing is left in it. */
void ul_quarantine_remove_run(struct ul_upper_dir *u, const char *run);

enum ul_quarantine_extent {
	UL_QUARANTINE_LIMITS, /* what is too old or too much */
	UL_QUARANTINE_JUNK,   /* all but what was superseded: there is no other room on the disk */
	UL_QUARANTINE_ALL,    /* that as well: there is none without it */
};

struct ul_quarantine_limits {
	uint64_t age;  /* seconds; older runs go; 0: age does not count */
	int64_t now;   /* seconds since 1970, as the machine's clock says, which may be wrong */
	uint64_t size; /* bytes that may stay, but for what was superseded; 0: any number */
	enum ul_quarantine_extent extent;
};

/* Throw away what the limits want gone, but for what this boot moved there. Not in a dry run. */
int ul_quarantine_empty(struct ul_upper_dir *u, const struct ul_quarantine_limits *limits);
