#include "common/nearest.h"

#include <string.h>

#define WORD_MAX 40

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters added, left out, replaced, and neighbours swapped (optimal string alignment). */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

void ul_nearest_offer(struct ul_nearest *n, const char *candidate)
{
	size_t typed = strlen(n->word), len = strlen(candidate), d;

	if (typed > WORD_MAX || len > WORD_MAX)
		return;
	/* Half of a word counts as its beginning. */
	if (typed >= 2 && strncmp(candidate, n->word, typed) == 0)
		d = 1;
	else
		d = distance(n->word, typed, candidate, len);
	if (d > len / 3 + 1 || d >= len || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}
