#include "verity/disk/copy_range.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/file.h"

#define PIECE (1024 * 1024) /* bytes */

int ul_copy_range(const struct ul_copy_range *c)
{
	/* Aligned for takers that write past the page cache. */
	ul_autofree uint8_t *buffer = aligned_alloc(4096, PIECE);
	int r = buffer ? 0 : -ENOMEM;

	for (uint64_t done = 0, len; r == 0 && done < c->size; done += len) {
		len = c->size - done < PIECE ? c->size - done : PIECE;
		if (c->cancelled && c->cancelled())
			return -ECANCELED;
		r = ul_pread_full(c->from, buffer, (size_t)len, c->offset + done);
		if (r == 0)
			r = c->piece(c->user, buffer, (size_t)len, done);
		ul_progress_report(c->progress, c->step, done + len, c->size);
	}
	return r;
}
