/*
 * Writing to a disk past the page cache, each piece read back at once from behind it: what the disk took is what it
 * gives. Where the disk's file does not do O_DIRECT (a tmpfs), or a piece is not made of whole blocks, it goes by the
 * page cache (by_cache), and whoever wants to see it on the disk reads it himself after ul_disk_writer_sync.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define UL_DISK_WRITER_ALIGN 4096 /* of bytes in memory and on the disk: no disk has larger sectors */

struct ul_disk_writer {
	int fd;                         /* by the page cache */
	int direct_fd;                  /* past it; -1: that cannot be had */
	bool compare;                   /* what is there already is not written again */
	_Atomic bool by_cache;          /* a piece was not read from behind it */
	_Atomic uint64_t written, kept; /* bytes */
	_Atomic uint64_t differs;       /* byte of the disk where it gave back something else; UINT64_MAX: it did not */
};

/* disk is not to be opened by others meanwhile who write to it. On failure ret is to be closed, too. -UL_E_SYSTEM. */
int ul_disk_writer_open(const char *disk, struct ul_disk_writer *ret, struct ul_error *err);
void ul_disk_writer_close(struct ul_disk_writer *w);

/* May be called by several threads at once, for other places. 0; -errno; -EILSEQ: it reads back differently. */
int ul_disk_writer_put(struct ul_disk_writer *w, const uint8_t *bytes, size_t len, uint64_t offset);

/* All that was put is on the disk, its own cache emptied, and none of it in the page cache. 0 or -errno. */
int ul_disk_writer_sync(struct ul_disk_writer *w);
