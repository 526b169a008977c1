/* The files by which systemd-sysupdate finds and writes what `image split` made: sysupdate.d(5). */
#pragma once

#include <stdbool.h>

#include "verity/format/partition_types.h"

struct ul_transfer_request {
	const char *name; /* of the image */
	const struct ul_partition_types *types;
	const char *source; /* a URL, or a directory */
	const char *device; /* the machine's disk */
	bool uki;
	unsigned int tries; /* of a new UKI */
};

/* Write the directory sysupdate.d in dirfd, or what differs there. 0 or -errno. */
int ul_transfer_files_write(int dirfd, const struct ul_transfer_request *request);
