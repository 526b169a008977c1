/* The programs of mtools, over a FAT filesystem in a file or disk: no privilege is needed, and nothing is mounted. */
#pragma once

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define UL_MTOOL_ARGUMENTS 4

struct ul_mtool {
	const char *program;
	const char *file;                              /* where the filesystem lies */
	uint64_t offset;                               /* bytes */
	const char *arguments[UL_MTOOL_ARGUMENTS + 1]; /* ended by NULL; names of files outside are absolute */
};

/*
 * what, ret_output, ret_status: as ul_run has them. The same call makes the same bytes: all times are FAT's first, and
 * the user's own configuration of mtools does not count. -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_mtool(const struct ul_mtool *m, const char *what, struct ul_buffer *ret_output, int *ret_status,
	     struct ul_error *err);
