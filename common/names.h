/* A list of owned strings. Zero-initialise it; free it with ul_names_free (or ul_autonames). */
#pragma once

#include "common/vector.h"

struct ul_names {
	UL_VECTOR_MEMBERS(char *);
};

/* Append a copy of the text, or of its first len bytes. 0 or -ENOMEM. */
int ul_names_add(struct ul_names *names, const char *text);
int ul_names_add_n(struct ul_names *names, const char *text, size_t len);

/* Append the text itself, which is taken over, also on failure. */
int ul_names_take(struct ul_names *names, char *text);

/* Append a copy where an equal text is not in the list. 1: appended; 0: it was there; -ENOMEM. Compares with each. */
int ul_names_add_new(struct ul_names *names, const char *text);

/* Sort by strcmp; where unique is set, one of several equal texts stays. */
void ul_names_sort(struct ul_names *names, bool unique);

/* Whether an equal text is in the list: ul_names_has looks at each, ul_names_find needs a sorted one. */
bool ul_names_has(const struct ul_names *names, const char *text);
bool ul_names_find(const struct ul_names *names, const char *text);

void ul_names_free(struct ul_names *names);

#define ul_autonames UL_CLEANUP(ul_names_free)
