/* The system that is started: a store path with an init, looked at as the system itself will see it. */
#pragma once

#include <stdbool.h>

#include "common/error.h"

/* A store path and nothing more: the prefix, one name, no way out of it. */
bool ul_is_store_path(const char *path);

/* Open path (O_PATH) with root_fd as the root: absolute symlinks lead nowhere else. Descriptor or -1 with errno. */
int ul_open_in_root(int root_fd, const char *path);

/*
 * Check that SYSTEM/INIT is an executable file below root_fd. -UL_E_NO_SYSTEM, -UL_E_CORRUPT (it cannot be
 * read).
 */
int ul_system_check(int root_fd, const char *system, const char *init, struct ul_error *err);
