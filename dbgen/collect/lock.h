/*
 * Nix's own locks (flock): the same in 2.8, 2.26, 2.34 and 2.36.
 *
 *     db/big-lock   shared by whoever has the store open; a migration of the database's schema wants it alone
 *     gc.lock       shared for the moment in which somebody writes a temporary root down; a collector's alone, all
 *                   along. Who does not get it sends his root to the collector instead (server.h).
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct ul_collect_locks {
	int big, gc; /* -1: not held */
};

#define UL_COLLECT_LOCKS_NONE ((struct ul_collect_locks){.big = -1, .gc = -1})

/*
 * Take both, waiting for another collector to end. shared: gc.lock too is shared, which is enough for a look: no
 * collector runs then. -UL_E_SYSTEM.
 */
int ul_collect_lock(int state_fd, bool shared, struct ul_collect_locks *ret, struct ul_error *err);
void ul_collect_unlock(struct ul_collect_locks *locks);
