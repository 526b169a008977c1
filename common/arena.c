#include "common/arena.h"

#include <errno.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20) /* of x86-64 and of arm64 with pages of 4 KiB */

int ul_arena_init(struct ul_arena *a, size_t size)
{
	size_t mapping_size;
	uintptr_t at;
	void *mapping;

	*a = (struct ul_arena){0};
	if (__builtin_add_overflow(size, HUGE_PAGE, &mapping_size))
		return -ENOMEM;
	mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED)
		return -ENOMEM;
	at = ((uintptr_t)mapping + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	/* A kernel without huge pages says EINVAL: then small ones do. */
	madvise((void *)at, size, MADV_HUGEPAGE);
	*a = (struct ul_arena){(uint8_t *)at, mapping, mapping_size};
	return 0;
}

void ul_arena_free(struct ul_arena *a)
{
	if (a->mapping)
		munmap(a->mapping, a->mapping_size);
	*a = (struct ul_arena){0};
}
