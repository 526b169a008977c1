/*
 * The directory tree that the filesystem's maker sees, laid out without copying the closure where that can
 * be avoided.
 *
 * What a store path looks like on the build machine must not reach the image: two files that the
 * store's optimisation hard-linked, a mode other than 0444 or 0555, an owner, a time. Owner and time
 * are the maker's options. For the rest the closure is looked through once (ul_staging_scan), and what is not
 * canonical is noted. Each store path comes into the tree (ul_staging_populate)
 *
 *     as a bind mount            where a private mount namespace can be had, as root or in a user namespace,
 *     as hard links, or copied   where not (in a container without either),
 *
 * except that directories on the way to something non-canonical are made anew, and what is non-canonical is
 * copied. Bind mounts exist only in the process that ul_staging_enter turns into one: the caller's own
 * mounts stay as they are.
 *
 * What Nix has made is canonical, and to look through a hundred thousand files takes a tenth of the maker's time. So,
 * where laying out costs little, it may be done first, and the scan while the maker runs: what that finds is a reason
 * to lay out anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"

struct ul_staging;

struct ul_staging_options {
	const char *store; /* directory that holds the store paths */
	/* The maker gives each hard link an inode of its own, so they need not be told apart here. */
	bool hard_links_allowed;
	bool lost_found_dropped; /* the maker leaves names that start with lost+found out */
	bool no_namespace;       /* link and copy, even where bind mounts could be had */
	struct ul_progress *progress;
};

/* How the tree was laid out; plain data. */
struct ul_staging_report {
	bool bind_mounts;               /* false: no namespace could be had */
	uint64_t bound, linked, copied; /* store paths and files */
	uint64_t copied_bytes;
};

/* A staging of store paths names[0 .. n) (base names; they must outlive it). Errors: -UL_E_SYSTEM, -UL_E_MEMORY. */
int ul_staging_new(const struct ul_staging_options *options, const char *const *names, size_t n,
		   struct ul_staging **ret, struct ul_error *err);

/* Whether store paths come into the tree as bind mounts, so that laying out again costs little. */
bool ul_staging_is_cheap(const struct ul_staging *s);

/*
 * Look through them, once. 1: not all is canonical, and what was laid out before is to be laid out anew; 0: it is.
 * stop: ends it early, with 0; NULL: nothing does. Errors: -UL_E_INPUT (a path is missing, a file is of a kind that no
 * store path has), -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_staging_scan(struct ul_staging *s, const _Atomic bool *stop, struct ul_error *err);

/* Whether the scan, which may be at work in another thread, has found something that is not canonical. */
bool ul_staging_is_odd(const struct ul_staging *s);

/*
 * Fill the empty directory dir (an absolute path, the tree's nix/store) with them; all that was not looked through is
 * taken for canonical. Afterwards the tree is whole but for the bind mounts. Errors: as the scan's.
 */
int ul_staging_populate(struct ul_staging *s, const char *dir, struct ul_error *err);

/* Enter a private mount namespace and make the bind mounts; for a child process, just before its work. */
int ul_staging_enter(const struct ul_staging *s, struct ul_error *err);

void ul_staging_get_report(const struct ul_staging *s, struct ul_staging_report *ret);
void ul_staging_free(struct ul_staging *s);

/* Modes in the canonical form that Nix gives store paths. */
static inline unsigned int ul_canonical_mode(unsigned int mode, bool directory)
{
	return directory || (mode & 0100) ? 0555 : 0444;
}
