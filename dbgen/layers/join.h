/*
 * Join: what the sessions of earlier boots hold becomes part of the kept layer, entry by entry. At boot, after the
 * filesystem was checked and before the new session is made; nobody else uses the upper.
 *
 *     kept/        what earlier sessions left: a layer beneath the sealed ones
 *     sessions/    one directory a boot (session.h), joined in the order of their numbers
 *     trash/       what goes (trash.h)
 *
 * For each entry of a session's top level:
 *   1. The name is sealed, which the sealed directory itself is asked, never a list: thrown away. (`.links` always is.)
 *      What the machine made itself has gone to the quarantine before (dbgen/reconcile/supersede.c).
 *   2. A whiteout (character device 0:0): the kept entry goes, then the whiteout.
 *   3. A directory that is not opaque, over a kept directory: its contents by the same rules but the first, then owner,
 *      mode, times and attributes are taken over (properties.h). Such a one is a kept directory that was copied up, not
 *      one that was made anew. However deep, this needs a few descriptors and no stack. What lies deeper than the
 *      longest path has directories (PATH_MAX) is of no path that Nix could ever register: the session's is thrown
 *      away. So it is where either is a subvolume of btrfs, which a session's or Nix's never is: no rename leaves it.
 *   4. Anything else: the kept entry goes, the session's is renamed into its place.
 *   5. A directory that was copied up, is not opaque, and has no kept one beneath it: thrown away. It has only
 *      what was changed of a directory that is gone: of a sealed one, when another image was booted since.
 * Then the filesystem is synced, and what is left of the session thrown away.
 *
 * What goes is renamed into the trash, so each step is one rename or one unlink, and each may be repeated: a cut
 * anywhere leaves a session that is joined again, to the same end. Cost follows what the session holds. Hard links
 * between entries stay, since nothing is copied.
 *
 * The kept layer is never listed. What it has under a sealed name is never seen (names.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "dbgen/layers/trash.h"

#define UL_KEPT  "kept"  /* from the upper's root */
#define UL_TRASH "trash" /* likewise */

struct ul_join {
	int upper_fd;      /* root directory of the upper's filesystem */
	const int *sealed; /* the sealed store directories, open */
	size_t n_sealed;
	bool userxattr; /* the sessions' overlays had that option: marks are user.overlay.*, not trusted.overlay.* */
};

struct ul_join_report {
	uint64_t sessions; /* that were joined */
	uint64_t joined;   /* entries that came into the kept layer */
	uint64_t removed;  /* kept entries that went for a whiteout or for a newer one */
	uint64_t sealed;   /* entries of sealed names that were thrown away */
	uint64_t orphans;  /* directories of rule 5 */
	uint64_t deep;     /* directories of rule 3 that lie deeper than any path, or are subvolumes */
	uint64_t mended;   /* directories of ours that were something else, which is now NAME.bad-N */
};

/*
 * Join all sessions. *ret is filled as far as it went, also on failure. Errors: -UL_E_UPPER naming the entry (no space,
 * an I/O error, a filesystem that is not sound): nothing is lost, the rest of the session stays and is joined when
 * that is mended; -UL_E_CORRUPT: the sealed directory cannot be read; -UL_E_MEMORY.
 */
int ul_join_sessions(const struct ul_join *join, struct ul_join_report *ret, struct ul_error *err);
