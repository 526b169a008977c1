/* The marker of a filesystem that is being made: its bytes are told in initrd/upper/upper.h. */
#pragma once

#include <stdint.h>

#include "initrd/upper/upper.h"

#define UL_MARKER_SIZE  512
#define UL_MARKER_MAGIC "underlay-upper\n" /* with its NUL 16 bytes */

struct ul_upper_marker {
	char filesystem[17];
	char uuid[UL_UPPER_UUID];
};

/* Where it stands on a device of that size in bytes. */
uint64_t ul_upper_marker_offset(uint64_t size);

/* 1: *ret is the marker; 0: the device has none; -errno. */
int ul_upper_marker_read(int fd, uint64_t size, struct ul_upper_marker *ret);
