/* Which word was meant by one that is misspelt. */
#pragma once

#include <stddef.h>

struct ul_nearest {
	const char *word; /* as it was typed */
	const char *best; /* the nearest so far; NULL: none is near */
	size_t distance;  /* of best */
};

/*
 * Offer a word that could have been meant. It is near where at most a third of its letters, and one more, have to be
 * typed, left out, replaced or swapped with the next; of equally near words the first one stays.
 */
void ul_nearest_offer(struct ul_nearest *n, const char *candidate);
