/*
 * Roots for Nix's garbage collector: what is sealed can not be deleted, so the collector must not try (rebuild: it
 * would leave whiteouts in the upper, and forget paths that are still there; attach: it would copy each sealed row
 * into the upper's database to delete it there, and count garbage as freed).
 *
 * They lie in a tmpfs at /nix/var/nix/gcroots/underlay, which is read-only for the system: so they cost the upper
 * nothing, outlive no boot, and nobody removes them by accident.
 *
 *     lower0/HASH-name    an empty file, one for each root: Nix takes a file of a store path's name for a root as it
 *                         does a symlink. All are hard links to one inode.
 *
 * Which: the image's list (nix/.underlay/roots), which is one name, the root path's (dbgen/manifest/root_path.h), so
 * that the cost does not follow the image. Images of Underlay before 0.2 list each top-level path there, and those of
 * other makers have no list: see ul_gcroots_make.
 */
#pragma once

#include "initrd/base/boot.h"

/*
 * Roots that an attached lower may have: a long list is left out there, since nothing sealed is lost without it, and
 * attaching is to cost the same whatever the image's size.
 */
#define UL_GCROOTS_ATTACHED 1000

/*
 * Make them for all lowers that have a manifest; b->n_gcroots is their number. Before: stage upper made the directory
 * gcroots/underlay, and emptied it. A database that is rebuilt takes every root of its list, or, where there is none,
 * each top-level path of the manifest, at a cost like the database's own. -UL_E_MANIFEST, -UL_E_UPPER, -UL_E_MEMORY.
 */
int ul_gcroots_make(struct ul_boot *b, struct ul_error *err);
