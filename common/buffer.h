/* A growable byte buffer. Zero-initialise it; free it with ul_buffer_free (or ul_autobuffer). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct ul_buffer {
	uint8_t *data; /* owned, or lent */
	size_t len;    /* bytes used */
	size_t size;   /* bytes allocated */
	bool lent;     /* data is somebody else's: see ul_buffer_lend */
};

/* All return 0 or -ENOMEM (the buffer is then as it was). */
int ul_buffer_reserve(struct ul_buffer *b, size_t more);
int ul_buffer_append(struct ul_buffer *b, const void *data, size_t len);
int ul_buffer_printf(struct ul_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Make the contents a C string: a NUL behind them that len does not count. NULL: no memory. */
char *ul_buffer_string(struct ul_buffer *b);

void ul_buffer_free(struct ul_buffer *b);

/*
 * Begin an empty buffer in `size` bytes of memory that stay the caller's and must outlive it. A buffer that outgrows
 * them goes on in memory of its own.
 */
void ul_buffer_lend(struct ul_buffer *b, void *memory, size_t size);

#define ul_autobuffer UL_CLEANUP(ul_buffer_free)
