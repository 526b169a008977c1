#include "common/compare.h"

#include <stdint.h>
#include <string.h>

int ul_compare_u32(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return ul_order(*x, *y);
}

int ul_compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return ul_order(*x, *y);
}

int ul_compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}
