/* Order, for qsort, bsearch and comparisons of several keys: <0, 0, >0. */
#pragma once

#include <stddef.h>
#include <string.h>

/* Two numbers of one type. A difference would not do: it may not fit. Each is evaluated twice. */
#define ul_order(a, b) (((a) > (b)) - ((a) < (b)))

/* Over pointers to uint32_t, to uint64_t, to char *. */
int ul_compare_u32(const void *a, const void *b);
int ul_compare_u64(const void *a, const void *b);
int ul_compare_texts(const void *a, const void *b);

/* Byte by byte; of two texts of which one begins with the other, the shorter first. */
static inline int ul_compare_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : ul_order(a_len, b_len);
}
