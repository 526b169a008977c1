/* A growable list of owned strings: module names, library names, search paths. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

/* Zero-initialise it. */
struct ul_words {
	char **list; /* owned, each element too; not terminated */
	size_t count;
	size_t size;
};

/* Append a copy of the len bytes at text. 0 or -ENOMEM. */
int ul_words_add(struct ul_words *w, const char *text, size_t len);

/* Append a copy unless it is in the list already. 0 or -ENOMEM. */
int ul_words_add_once(struct ul_words *w, const char *text);

bool ul_words_has(const struct ul_words *w, const char *text);
void ul_words_free(struct ul_words *w);

#define ul_autowords UL_CLEANUP(ul_words_free)
