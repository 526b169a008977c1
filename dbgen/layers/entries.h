/*
 * What the upper will have when it is joined (join.h), before it is: the sessions of earlier boots over the kept
 * layer. For whoever asks for a few names; nothing is listed.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/vector.h"

struct ul_entries {
	int kept;                /* -1: there is no kept layer */
	UL_VECTOR(int) sessions; /* their `up`, the newest first; those that the next boot joins */
};

/* Open what is there below upper_fd. Nothing is followed, nothing made. 0 or -errno. Close also after a failure. */
int ul_entries_open(int upper_fd, struct ul_entries *ret);
void ul_entries_close(struct ul_entries *e);

/* Where an entry was found. */
struct ul_entry {
	mode_t mode;  /* type and permissions */
	int dirfd;    /* of the layer; borrowed */
	bool partial; /* a directory of a session that shows a lower layer's as well: not whole where it lies */
};

/*
 * Whether the upper has an entry of this name at its top. 1: *ret is where; 0: not, or a whiteout hides it, or it is a
 * directory's copy of which there is no directory any more; -errno. ret may be NULL.
 */
int ul_entries_find(const struct ul_entries *e, const char *name, struct ul_entry *ret);
