/* A growable byte buffer. Zero-initialise it; free it with ul_buffer_free (or ul_autobuffer). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct ul_buffer {
	uint8_t *data; /* owned */
	size_t len;    /* bytes used */
	size_t size;   /* bytes allocated */
};

/* All return 0 or -ENOMEM (the buffer is then as it was). */
int ul_buffer_reserve(struct ul_buffer *b, size_t more);
int ul_buffer_append(struct ul_buffer *b, const void *data, size_t len);
int ul_buffer_printf(struct ul_buffer *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Make the contents a C string: a NUL behind them that len does not count. NULL: no memory. */
char *ul_buffer_string(struct ul_buffer *b);

void ul_buffer_free(struct ul_buffer *b);

#define ul_autobuffer UL_CLEANUP(ul_buffer_free)
