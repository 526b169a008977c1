/* Loop devices: a file, or a range of one, as a block device that is read-only and goes with its last user. */
#pragma once

#include <stdint.h>

#define UL_LOOP_PATH 64 /* bytes of a device's path */

/*
 * Attach `size` bytes (0: all) from `offset` of the open file. *ret_fd keeps the device; path is it, or on failure
 * (-errno) what failed.
 */
int ul_loop_attach(const char *dev_dir, int file_fd, uint64_t offset, uint64_t size, char path[UL_LOOP_PATH],
		   int *ret_fd);
