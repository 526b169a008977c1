/* What earlier sessions left in the upper: which paths are there, and whether their files are those registered. */
#pragma once

#include "common/names.h"
#include "dbgen/layers/entries.h"
#include "dbgen/reconcile/upper_dir.h"
#include "dbgen/store/store_path.h"

struct ul_upper_store {
	struct ul_entries entries;
	struct ul_names
		coming;   /* sorted: entries that a run would move back, checked already; only a dry run has any */
	uint64_t checked; /* paths whose NAR hash was computed */
};

/* Nothing is open. */
#define UL_UPPER_STORE_NONE ((struct ul_upper_store){.entries = {.kept = -1}})

int ul_upper_store_open(struct ul_upper_store *s, struct ul_upper_dir *u);
void ul_upper_store_close(struct ul_upper_store *s);

/*
 * Whether there is a store path of this base name: a directory, a file or a symlink. One that cannot be looked at
 * counts as there: no row is lost to a disk that fails to read.
 */
bool ul_upper_store_has(const struct ul_upper_store *s, const char *base);

/*
 * The NAR of an entry. 1: it has this hash and size, or lies in two layers, of which the join makes one, or cannot be
 * looked at; 0: not; -UL_E_MEMORY. size: bytes, 0: not known. Any kind of trouble with its files is a wrong hash.
 */
int ul_upper_store_check(struct ul_upper_store *s, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE],
			 uint64_t size, struct ul_error *err);

/* Move an entry to the quarantine, so that it is not in the way of the path's next build. */
int ul_upper_store_quarantine(struct ul_upper_store *s, struct ul_upper_dir *u, const char *base);
