/* What the files of stage_*.c share. */
#pragma once

#include "verity/stage_tree.h"

/*
 * An entry that cannot be taken as it is: a file, symlink or directory that is not canonical, or a directory with
 * such an entry below it.
 */
struct ul_stage_node {
	char *name; /* owned; NULL for a store path */
	struct ul_stage_node *children;
	size_t n_children;
};

/* A bind mount to be made: both owned. */
struct ul_stage_bind {
	char *source, *target;
};

struct ul_stage {
	struct ul_stage_options options;
	char *store; /* owned: absolute */
	const char *const *names;
	size_t n;
	struct ul_stage_node **nodes; /* of names[i]; NULL: canonical throughout */
	struct ul_stage_bind *binds;
	size_t n_binds, size_binds;
	size_t max_binds; /* the kernel's limit of mounts, less what there is already */
	struct ul_stage_report report;
};

/* Whether ul_stage_enter would succeed, and how many mounts the kernel allows there. */
bool ul_stage_namespace_works(size_t *ret_max_mounts);
