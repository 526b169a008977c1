/*
 * A session: the layer that one boot writes. It is made anew at each boot and is the overlay's upper directory;
 * everything that earlier boots left lies beneath the sealed layers (see names.h) and can only be added to.
 *
 *     sessions/NNNNNNNN-RRRRRRRRRRRRRRRR/up      upperdir
 *                                       /work    workdir
 *
 * NNNNNNNN: one more than the largest number there; sessions are joined in this order (join.h). R: random, so that
 * whoever wrote the disk cannot have an entry of that name waiting.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/names.h"

#define UL_SESSIONS         "sessions" /* from the upper's root */
#define UL_SESSION_NAME_MAX 40         /* bytes of "NNNNNNNN-RRRRRRRRRRRRRRRR", with its end */

/* A boot leaves one. Of more than these, which somebody made, the oldest come first, and the rest at later boots. */
#define UL_SESSIONS_AT_A_BOOT 256

/* Whether this is a session's name, and its number. */
bool ul_session_parse(const char *name, unsigned long *ret_number);

/*
 * Those that a boot joins, in their order: the number leads the name and has leading zeros. Every other entry is given
 * to `other`, where there is one; what it returns below 0 ends the list. 0, -errno, or that.
 */
typedef int (*ul_session_other)(void *arg, const char *name);
int ul_session_list(int sessions, ul_session_other other, void *arg, struct ul_names *ret);

/*
 * Open the layer of a session, `up`. Neither it nor the session's directory is followed. The descriptor, or -errno
 * (-EXDEV: it is a subvolume of btrfs, or in one, and no rename leaves it).
 */
int ul_session_open(int sessions, const char *name);

/*
 * Make a session below upper_fd, the root directory of the upper's filesystem, which nobody but root can enter. mode
 * and gid: of `up`, which the overlay shows as those of the store. Both directories are opened by descriptor, get
 * owner and mode, lose the ACL that a parent's default may have given them, and are then demanded to be empty,
 * without attributes and without another link. *ret_name: where. -UL_E_UPPER, -UL_E_MEMORY.
 */
int ul_session_make(int upper_fd, mode_t mode, gid_t gid, char ret_name[UL_SESSION_NAME_MAX], struct ul_error *err);
