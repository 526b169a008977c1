/*
 * The directories below the upper's root that are Underlay's own, on a filesystem that somebody may have written while
 * the machine was off.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Open the directory NAME below dirfd, and make it (mode, less the umask) where it is not there. Something else of that
 * name is renamed to NAME.bad-N; flags that forbid writing are taken off both directories. 1: something was put aside;
 * 0: not; -errno. The descriptor is the caller's to close.
 */
int ul_layer_dir_open(int dirfd, const char *name, mode_t mode, int *ret_fd);

/*
 * Flags that keep even root from changing a directory or a file (immutable, append only; of a subvolume of btrfs:
 * read-only): taken off. true: there were some. errno stays.
 */
bool ul_take_flags_off(int dirfd, const char *name);
