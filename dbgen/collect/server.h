/*
 * gc-socket/socket: where builders tell a collector that runs of their temporary roots, because they do not get gc.lock
 * (addTempRoot in Nix's src/libstore/gc.cc; the same in 2.8, 2.26, 2.34 and 2.36).
 *
 *     builder    "/nix/store/HASH-name\n"
 *     collector  "1", once the path is safe: it will not go, or it is gone, and may be made anew
 *
 * When the collector ends, connections close, and builders try for gc.lock again. The socket's file stays: a builder of
 * Nix 2.8 goes on without a root where there is none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/vector.h"
#include "dbgen/store/store_path.h"

struct ul_roots_server;

/* The digits of a path's hash: a root protects what begins with them. */
struct ul_root_hash {
	char digits[UL_HASH_DIGITS];
};

/* To be called when gc.lock is held. *ret is the caller's to stop. -UL_E_SYSTEM, -UL_E_MEMORY. */
int ul_roots_server_start(int state_fd, const char *store_dir, struct ul_roots_server **ret, struct ul_error *err);

/* NULL is allowed. */
void ul_roots_server_stop(struct ul_roots_server *s);

struct ul_root_hash_list {
	UL_VECTOR_MEMBERS(struct ul_root_hash);
};

/*
 * These n are to go: who sends one of them from now on waits for ul_roots_server_removed, all others are answered.
 * *ret: what was sent since the last call, which must not go after all; the caller's to free. hashes stay the caller's,
 * and must stay until then.
 */
void ul_roots_server_remove(struct ul_roots_server *s, const struct ul_root_hash *hashes, size_t n,
			    struct ul_root_hash_list *ret);
void ul_roots_server_removed(struct ul_roots_server *s);
