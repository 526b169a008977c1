/*
 * The directories below the upper's root that are Underlay's own, on a filesystem that somebody may have written while
 * the machine was off.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Open the directory NAME below dirfd, and make it (mode, less the umask) where it is not there. Something else of that
 * name is renamed to NAME.bad-N; flags that forbid writing are taken off both directories. 1: something was put aside;
 * 0: not; -errno. The descriptor is the caller's to close.
 */
int ul_layer_dir_open(int dirfd, const char *name, mode_t mode, int *ret_fd);

/*
 * Open one that holds nothing that anybody must have back, likewise: a subvolume of btrfs is put aside as well, since
 * no rename goes into it or out of it.
 */
int ul_layer_dir_own(int dirfd, const char *name, mode_t mode, int *ret_fd);

/*
 * Rename dirfd/NAME to NAME.bad-N, whatever it is; nothing of it is opened or followed. Where all those names are
 * taken, to one with a random number. Flags that forbid it are taken off. 0 or -errno.
 */
int ul_layer_move_aside(int dirfd, const char *name, char ret_aside[NAME_MAX + 1]);

/* Remove a file, also one whose flags forbid it. 0 or -errno (-ENOENT: there is none). */
int ul_layer_remove(int dirfd, const char *name);

/*
 * Flags that keep even root from changing a directory or a file (immutable, append only; of a subvolume of btrfs:
 * read-only): taken off. true: there were some. errno stays.
 */
bool ul_take_flags_off(int dirfd, const char *name);

/*
 * For a rename or an unlink of dirfd/name that met `error`: where flags can be the reason, take them off the entry and
 * its directory. true: there were some, so it may be tried again.
 */
bool ul_take_flags_off_both(int error, int dirfd, const char *name);

/*
 * Rename to a name that is free, or let two names of a directory change places, whatever somebody put in the way: flags
 * on what is renamed and on the directories, and that the target hands its project on. One may hide another, so it is
 * tried again while there is something to take off. 0 or -errno (-EEXIST: the name is not free).
 */
int ul_layer_rename(int from_fd, const char *from, int to_fd, const char *to);
int ul_layer_exchange(int dirfd, const char *one, const char *other);

/*
 * A number for a name that need not be a secret, only none that somebody has waiting. So early the kernel's pool may
 * not be ready: what it has is taken, as systemd does for such names. Kernels before 5.6 do not know the flag for that;
 * there the clocks will do, since a name that is there is refused.
 */
uint64_t ul_random_number(void);
