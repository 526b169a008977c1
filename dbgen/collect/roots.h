/*
 * The collector's roots, as Nix finds them (src/libstore/gc.cc, local-gc.cc; the same in 2.8, 2.26, 2.34 and 2.36):
 *
 *     gcroots/, profiles/    all below them: a link into the store; a link to a link into the store (an indirect root,
 *                            gcroots/auto); a file, whose name is that of a store path
 *     temproots/PID          store paths, each ended by a NUL, of a builder that holds a write lock on the file for as
 *                            long as it lives; a file that can be locked is of one that has died
 *     /proc/PID              exe, cwd, fd/, maps, environ of every process; and three programs that the kernel calls
 *
 * The first kind keeps valid paths alive; of the second, the hash alone counts, so that locks and temporary directories
 * of a build stay too.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "common/names.h"

struct ul_roots_options {
	const char *root;      /* "" or the directory that is / of the machine */
	const char *store_dir; /* "/nix/store" */
	int state_fd;          /* /nix/var/nix */
	const int *sealed;     /* directories of the sealed filesystems: what lies there is not looked through */
	size_t n_sealed;
	bool tidy; /* remove what Nix's collector removes: indirect roots that lead nowhere, files of dead builders */
};

/*
 * The names of entries of the store, in *ret, unsorted and more than once: of gcroots and profiles. A directory that
 * cannot be read for another reason than that it is gone or forbidden is -UL_E_SYSTEM: its roots must not be missed.
 */
int ul_roots_permanent(const struct ul_roots_options *o, struct ul_names *ret, struct ul_error *err);

/* Append the temporary roots of builders that run. */
int ul_roots_temporary(const struct ul_roots_options *o, struct ul_names *ret, struct ul_error *err);

/* Append what running processes use, as the directory proc ("/proc") shows them. */
int ul_roots_running(const struct ul_roots_options *o, const char *proc, struct ul_names *ret, struct ul_error *err);

/* Add the entry that path lies in, if it lies in the store: "/nix/store/HASH-name/bin" is HASH-name. 0 or -ENOMEM. */
int ul_roots_add(const struct ul_roots_options *o, const char *path, struct ul_names *ret);
