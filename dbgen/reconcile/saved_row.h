/*
 * The row of a path that the machine built, as a file beside the path's entry in the quarantine: what the database said
 * of it before an image came that has it sealed (supersede.c), for the way back (restore.c).
 *
 *     row-HASH-NAME, at most UL_SAVED_ROW_MAX bytes:
 *         {"format": 1, "path": "HASH-NAME", "narHash": "sha256:HEX", "narSize": 120, "registrationTime": 1767225600,
 *          "ultimate": true, "deriver": "/nix/store/...", "signatures": "NAME:BASE64 ...", "ca": "...",
 *          "references": ["HASH-NAME", ...], "outputs": ["out", "/nix/store/...", ...]}
 *     deriver, signatures and ca may be absent; references are of the store directory, the path itself among them where
 *     the row says so; outputs are those of a derivation, name and path in turn.
 *
 * No store path has such a name, because none of the digits of its hash is a dash. Whoever has the disk may have
 * written the file, so each value is checked, and again as every row is (dbgen/database/rows/foreign.h); and its hash
 * must be that of the entry. It names its path, so that no file is the row of another by a link.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/names.h"
#include "dbgen/store/store_path.h"

#define UL_SAVED_ROW_PREFIX "row-"
#define UL_SAVED_ROW_MAX    (1 << 20) /* bytes: 20,000 references */

struct ul_saved_row {
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size; /* 0: not known; no file has that */
	int64_t registered;
	bool ultimate;
	char *deriver, *sigs, *ca; /* NULL: none */
	struct ul_names refs;      /* base names */
	struct ul_names outputs;   /* names and paths in turn */
};

void ul_saved_row_free(struct ul_saved_row *row);

/*
 * The row of a path in the database. 1: *ret is it; 0: there is none, or none that would come back: Nix could not have
 * written it, or it cannot be read; -ENOMEM. Free *ret also then.
 */
int ul_saved_row_of_database(sqlite3 *db, const char *store_dir, const char *base, struct ul_saved_row *ret);

/* Write it, not synced; one of that name is replaced. 1; 0: no file can hold it, or its size is not known; -errno. */
int ul_saved_row_write(int dirfd, const char *base, const struct ul_saved_row *row);

/*
 * Read it, where it has no more than *left bytes, which it takes from them; else *left becomes 0. 1; 0: there is none,
 * or not one that ul_saved_row_write could have written; -ENOMEM. Free *ret also then.
 */
int ul_saved_row_read(int dirfd, const char *base, uint64_t *left, struct ul_saved_row *ret);

/* Remove the file; one that cannot be removed goes with its run. */
void ul_saved_row_remove(int dirfd, const char *base);
