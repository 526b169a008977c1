/*
 * Room that is kept on the upper for what a boot must write; see reserve.c. Everybody who makes, gives up or reads the
 * file asks here. upper_fd: root directory of the upper's filesystem.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define UL_RESERVE_ROUNDS 4 /* times that a step is tried again: a part, the whole, and what the steps before it took */

/* Whether there is one that takes room. */
bool ul_reserve_is_there(int upper_fd);

/* Give all of it up. false: there was none. */
bool ul_reserve_release(int upper_fd);

/*
 * For a step of a boot that met `error`, an errno: where that says that the disk is full, give up a part of the
 * reserve, or what is left of it. true: there is room that there was not before, so the step may be tried again, at
 * most UL_RESERVE_ROUNDS times: how often it is true follows what somebody may have written.
 */
bool ul_reserve_help(int upper_fd, int error);

/* Keep room for a database of this many bytes, where the disk has plenty. Not having it is not a failure. */
void ul_reserve_keep(int upper_fd, uint64_t database);
