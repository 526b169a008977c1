/*
 * The collector that knows both layers. What is sealed is alive by definition; so only the upper's own paths are looked
 * at, and no row of the sealed ones is read, let alone copied: the cost follows the upper.
 *
 * What is alive is what Nix's own collector calls so (src/libstore/gc.cc): all that a root refers to, with the settings
 * keep-derivations and keep-outputs; roots are links below gcroots and profiles (indirect ones too), the temporary
 * roots of builds that run, and what running programs use (roots.h). All else of the upper goes: rows, and entries that
 * have none. What is added meanwhile is kept, by Nix's own protocol (lock.h, server.h).
 *
 * The order of deeds, for a number of paths at a time, referrers before what they refer to, the oldest first:
 *   1. No builder has named one of them as a temporary root; who does so from now on waits for the end of step 4.
 *   2. Their rows are deleted in one transaction, which is on the disk when it is over.
 *   3. The entry is removed through the overlay: for one of the kept layer that makes a whiteout in the session's.
 *   4. What lies beneath the whiteout, in the kept layer, is removed: nobody can see it any more: its space is back.
 * A cut after 2 leaves entries without rows: the next collection or the next boot's sweep (dbgen/reconcile/sweep.c)
 * takes them. A cut after 3 leaves a whiteout over what is left of an entry: the next boot's join (dbgen/layers/join.h)
 * removes both. Before 2 nothing has happened. A path whose files are touched has never a row.
 *
 * A whiteout stays until the next boot: overlayfs wants to find it again when the name is made anew.
 *
 * On an upper that nobody checked whole step 4 is left to the next boot, and so is the trash: an inode of an earlier
 * boot may own blocks that this boot's session has, or Nix's database, and to free it would free those
 * (initrd/upper/anew.c). What steps 2 and 3 free was made in this boot. Nothing is renamed out of the kept layer into
 * the trash either: that would write two directories of an earlier boot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"
#include "common/vector.h"

#define UL_COLLECT_NO_LIMIT UINT64_MAX

/* Where things lie on this machine; paths as the kernel finds them, with the root's prefix. All borrowed. */
struct ul_collect_layout {
	const char *root;             /* "" or the directory that is / of the machine ("/mnt") */
	const char *store_dir;        /* "/nix/store", as Nix names it */
	const char *view;             /* where the overlay is mounted */
	const char *state_dir;        /* "/nix/var/nix" */
	const char *upper;            /* root of the upper's filesystem */
	const char *session;          /* from there; its layer is `up` in it */
	bool persistent;              /* there is a kept layer, and a trash */
	bool may_free;                /* what they hold may be freed now; false: at the next boot */
	const char *const *sealed;    /* the sealed store directories */
	const char *const *databases; /* attach: the sealed databases; rebuild: none */
	size_t n_sealed, n_databases;
	int64_t sealed_id; /* rows up to this id are the lower's: in attach 0 */
};

struct ul_collect_options {
	struct ul_collect_layout at;
	bool keep_outputs, keep_derivations; /* as Nix's settings of these names */
	uint64_t max_freed, max_inodes;      /* stop when this much is free that was not; UL_COLLECT_NO_LIMIT */
	uint64_t keep_free, keep_inodes;     /* stop when the upper has this much free; UL_COLLECT_NO_LIMIT */
	bool dry_run;                        /* find out, and change nothing */
	bool (*stop)(void);                  /* asked now and then; NULL: never */
	struct ul_progress *progress;        /* NULL: nobody looks */
};

struct ul_collect_item {
	char *name;                       /* of the entry: of a store path, or of what else lies in the store; owned */
	bool valid;                       /* it has a row, or had one */
	bool kept;                        /* something of it lies in the kept layer */
	uint64_t bytes;                   /* that its removal gives back; what has other links counts nothing */
	uint64_t inodes;                  /* likewise */
	uint64_t kept_bytes, kept_inodes; /* of these: in the kept layer */
	char *trouble;                    /* why not all of it could be removed; NULL: all is gone; owned */
};

struct ul_collect_result {
	UL_VECTOR(struct ul_collect_item) items; /* in the order in which they went, or would go */
	uint64_t own, alive;                     /* rows of the upper's own paths, and those of them that are alive */
	uint64_t dead;                           /* store paths that are not: rows, and entries without one */
	uint64_t bytes, inodes;                  /* of all items */
	bool later;                         /* what lies in the kept layer and the trash is freed at the next boot */
	uint64_t later_bytes, later_inodes; /* what the kept layer gives back then, earlier runs' too; not the trash */
	uint64_t links;                     /* unused entries of .links that went */
	uint64_t troubles;                  /* items with a trouble */
	uint64_t roots_us, graph_us, total_us; /* how long finding the roots, reading the rows, and all of it took */
	bool limited;                          /* a limit ended it */
	bool stopped;                          /* `stop` did */
};

void ul_collect_result_free(struct ul_collect_result *r);

/*
 * Do it. *ret is filled as far as it went, also on failure: free it. Errors: -UL_E_DATABASE: the upper's or a sealed
 * one; -UL_E_SYSTEM: a lock, a root or a layer cannot be read; -UL_E_UPPER: the store cannot be written; -UL_E_MEMORY.
 */
int ul_collect(const struct ul_collect_options *o, struct ul_collect_result *ret, struct ul_error *err);
