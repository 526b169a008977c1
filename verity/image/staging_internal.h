/* What the files of staging_*.c share. */
#pragma once

#include "common/vector.h"
#include "verity/image/staging_tree.h"

/*
 * An entry that cannot be taken as it is: a file, symlink or directory that is not canonical, or a directory with
 * such an entry below it.
 */
struct ul_staging_node {
	char *name;                                 /* owned; NULL for a store path */
	UL_VECTOR(struct ul_staging_node) children; /* by name */
};

/* A bind mount to be made: both owned. */
struct ul_staging_bind {
	char *source, *target;
};

struct ul_staging {
	struct ul_staging_options options;
	char *store; /* owned: absolute */
	const char *const *names;
	size_t n;
	int store_fd;
	struct ul_staging_node **nodes; /* of names[i]; NULL: canonical throughout */
	_Atomic bool odd;               /* a node was noted */
	UL_VECTOR(struct ul_staging_bind) binds;
	size_t max_binds; /* the kernel's limit of mounts, less what there is already */
	struct ul_staging_report report;
};

void ul_staging_free_binds(struct ul_staging *s);

/* The error for a store path that is not there; path: of it. */
int ul_staging_missing(const char *path, struct ul_error *err);

/* Whether ul_staging_enter would succeed, and how many mounts the kernel allows there. */
bool ul_staging_namespace_works(size_t *ret_max_mounts);
