/*
 * Memory for what is large, written once and let go as a whole: one mapping, of huge pages where the kernel gives
 * them (transparent_hugepage is "madvise" or "always"). A fault, a page to clear and one to give back for every
 * 4 KiB cost more than what is then written there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct ul_arena {
	uint8_t *data; /* zeroed, aligned to a huge page; NULL: none */
	void *mapping;
	size_t mapping_size;
};

/* 0 or -ENOMEM. Memory that nobody touches takes no room, except the rest of a huge page that somebody touched. */
int ul_arena_init(struct ul_arena *a, size_t size);
void ul_arena_free(struct ul_arena *a);
