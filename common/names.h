/* A list of owned strings. Zero-initialise it; free it with ul_names_free (or ul_autonames). */
#pragma once

#include "common/vector.h"

struct ul_names {
	UL_VECTOR_MEMBERS(char *);
};

/* Append a copy of the text, or of its first len bytes. 0 or -ENOMEM. */
int ul_names_add(struct ul_names *names, const char *text);
int ul_names_add_n(struct ul_names *names, const char *text, size_t len);

/* The same; the text is taken over, also where that fails. */
int ul_names_take(struct ul_names *names, char *text);

/* Append a copy where an equal text is not in the list. 1: appended; 0: it was there; -ENOMEM. Looks at each. */
int ul_names_add_new(struct ul_names *names, const char *text);

/* By strcmp; of equal texts one stays where unique is set. */
void ul_names_sort(struct ul_names *names, bool unique);

/* Whether an equal text is in the list: ul_names_has looks at each, ul_names_find needs a sorted one. */
bool ul_names_has(const struct ul_names *names, const char *text);
bool ul_names_find(const struct ul_names *names, const char *text);

void ul_names_free(struct ul_names *names);

/* For qsort and bsearch over char *. */
int ul_names_compare(const void *a, const void *b);

#define ul_autonames UL_CLEANUP(ul_names_free)
