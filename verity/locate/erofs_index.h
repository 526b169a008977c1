/* Where the data of chunked and of compressed files lie. */
#pragma once

#include "verity/locate/erofs_read.h"

/* Tell the pieces of a file in chunks, or of a compressed file; *ret_end: where its index ends. */
int ul_erofs_chunks(const struct ul_erofs *fs, const struct ul_erofs_inode *inode, uint64_t *ret_end);
int ul_erofs_compressed(const struct ul_erofs *fs, const struct ul_erofs_inode *inode, uint64_t *ret_end);
