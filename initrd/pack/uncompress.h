/* Reading a file that may be compressed with xz or zstd, as kernel modules are. */
#pragma once

#include "common/buffer.h"
#include "common/error.h"

/*
 * Append the uncompressed bytes of the file to *ret, at most max of them. The form is told by the first
 * bytes, not by the name. Returns 0, -UL_E_INPUT (damaged, too large, another compression),
 * -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_read_uncompressed(const char *path, size_t max, struct ul_buffer *ret, struct ul_error *err);
