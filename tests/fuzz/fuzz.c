/* The frame around fuzz_one(): the allocator's hooks count what one input costs at its peak. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the sanitizers' sanitizer/allocator_interface.h, which gcc does not bring. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
					      void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

/* A replay has no mutation. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));

static bool counting;
static size_t now, peak; /* bytes since the input began */

static void on_malloc(const volatile void *p, size_t size)
{
	(void)p;
	if (!counting)
		return;
	now += size;
	if (now > peak)
		peak = now;
}

/* What was there before the input may be freed by it: below zero nothing is owed. */
static void on_free(const volatile void *p)
{
	size_t size = counting && p ? __sanitizer_get_allocated_size(p) : 0;

	now -= size < now ? size : now;
}

void fuzz_want(int holds, const char *condition, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: wanted: %s\n", file, line, condition);
	abort();
}

size_t fuzz_mutate_good(const void *good, size_t good_size, uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	if (seed % 16 == 0 && max >= good_size) {
		memcpy(data, good, good_size);
		size = good_size;
	}
	return LLVMFuzzerMutate(data, size, max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool hooked;
	size_t limit = fuzz_memory.fixed + fuzz_memory.per_byte * size;

	if (!hooked && !__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free))
		abort();
	hooked = counting = true;
	now = peak = 0;
	fuzz_one(data, size);
	counting = false;
	if (peak > limit) {
		fprintf(stderr, "%zu bytes of input made it allocate %zu, more than %zu\n", size, peak, limit);
		abort();
	}
	return 0;
}
