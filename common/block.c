#include "common/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ul_block_open(struct ul_block *b, FILE *in)
{
	*b = (struct ul_block){.in = in, .bytes = malloc(UL_BLOCK_SIZE)};
	return b->bytes ? 0 : -ENOMEM;
}

void ul_block_close(struct ul_block *b)
{
	free(b->bytes);
	*b = (struct ul_block){.in = NULL};
}

int ul_block_fill(struct ul_block *b)
{
	size_t n;

	b->len -= b->at;
	memmove(b->bytes, b->bytes + b->at, b->len);
	b->at = 0;
	errno = 0;
	n = fread(b->bytes + b->len, 1, UL_BLOCK_SIZE - b->len, b->in);
	if (n == 0 && ferror(b->in))
		return errno ? -errno : -EIO;
	b->ended = n == 0;
	b->len += n;
	return 0;
}
