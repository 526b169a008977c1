/* Store paths as users give them: by a name that leads to one. */
#pragma once

#include "common/error.h"
#include "dbgen/store/store_path.h"

/*
 * The store path that a text leads to, as Nix's own commands find it: ./result, /run/current-system and
 * /nix/store/HASH-name/bin/sh alike. Links are followed until a path lies in store_dir, which is a matter of its text
 * alone: the path need not exist here, and a store path that is a link itself is not followed. Does not look at whether
 * the name is a valid one. -UL_E_INPUT: it leads elsewhere, or nowhere.
 */
int ul_store_path_follow(const char *store_dir, const char *text, char ret[UL_STORE_PATH_SIZE], struct ul_error *err);
