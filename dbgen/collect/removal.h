/* Taking entries out of a mounted overlay, so that their space is back at once and nobody notices. */
#pragma once

#include <stdint.h>

#include "dbgen/collect/collect.h"

/* The store as all see it, and its layers that can be written. -1: not there. */
struct ul_store_dirs {
	int view;      /* the overlay */
	int upper;     /* root of the upper's filesystem */
	int session;   /* its upper layer */
	int kept;      /* the layer beneath the sealed ones */
	bool may_free; /* what lies there may be removed */
};

#define UL_STORE_DIRS_NONE ((struct ul_store_dirs){.view = -1, .upper = -1, .session = -1, .kept = -1})

struct ul_store_size {
	uint64_t bytes, inodes;
};

/*
 * Open them. writable: where the overlay is mounted read-only, as NixOS has it, this process gets a mount namespace of
 * its own in which it is not; no other thread may run then. -UL_E_SYSTEM.
 */
int ul_store_dirs_open(const struct ul_collect_layout *at, bool writable, struct ul_store_dirs *ret,
		       struct ul_error *err);
void ul_store_dirs_close(struct ul_store_dirs *d);

/*
 * What removing the entry would give back, in the session's layer and in the kept one. What cannot be read counts
 * nothing. However deep it is, few files are open at a time. True: the kept layer has it.
 */
bool ul_store_measure(const struct ul_store_dirs *d, const char *name, struct ul_store_size *ret_session,
		      struct ul_store_size *ret_kept);

/*
 * Whether an entry of the kept layer was removed through the overlay in this boot, and lies there until the next one.
 * Where it may be freed there is none.
 */
bool ul_store_is_left(const struct ul_store_dirs *d, const char *name);

/*
 * Remove the entry: through the overlay, and then, where it may be freed, what the kept layer has of it. 0 or -errno:
 * the rest of it is still there, seen or hidden.
 */
int ul_store_remove(const struct ul_store_dirs *d, const char *name);

/* Remove what nobody else links to from .links, the directory of `nix-store --optimise`. The number, or -errno. */
int64_t ul_store_remove_links(const struct ul_store_dirs *d);

/*
 * Whether something that is not a store path may go: not where its builder still holds a lock on it, nor where it was
 * changed less than an hour ago.
 */
bool ul_store_is_abandoned(const struct ul_store_dirs *d, const char *name);
