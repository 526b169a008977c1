#include "common/referrers.h"

#include <errno.h>
#include <stdlib.h>

int ul_referrers_init(struct ul_referrers *r, size_t n, size_t edges)
{
	if (n > UINT32_MAX)
		return -ENOMEM;
	r->n = n;
	r->first = calloc(n + 2, sizeof(*r->first));
	r->at = malloc((edges + 1) * sizeof(*r->at));
	return r->first && r->at ? 0 : -ENOMEM;
}

bool ul_referrers_pass(struct ul_referrers *r)
{
	/* Counts are kept two places on, so that filling moves each start to where it belongs. */
	if (r->passes == 1)
		for (size_t i = 2; i < r->n + 2; i++)
			r->first[i] += r->first[i - 1];
	return r->passes++ < 2;
}

void ul_referrers_add(struct ul_referrers *r, size_t from, size_t to)
{
	if (r->passes == 1)
		r->first[to + 2]++;
	else
		r->at[r->first[to + 1]++] = (uint32_t)from;
}

void ul_referrers_free(struct ul_referrers *r)
{
	free(r->first);
	free(r->at);
}
