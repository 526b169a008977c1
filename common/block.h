/*
 * A file that is read block by block, for texts that are longer than memory: what lies in the block is looked at, and
 * what was not taken stays when more is read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define UL_BLOCK_SIZE (64 * 1024) /* bytes that are read at once, and the most that may wait for their end */

struct ul_block {
	FILE *in;
	char *bytes;    /* room for UL_BLOCK_SIZE */
	size_t at, len; /* in bytes: what is next, and what was read */
	bool ended;     /* the file's end is in the block */
};

/* 0 or -ENOMEM. in stays the caller's. To be closed whatever comes of it. */
int ul_block_open(struct ul_block *b, FILE *in);
void ul_block_close(struct ul_block *b);

/* Read on behind what is left, which moves to the front. 0 or -errno. */
int ul_block_fill(struct ul_block *b);
