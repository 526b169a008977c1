#include "verity/trial/decide.h"

enum ul_standing ul_trial_standing(const struct ul_trial_record *record, const struct ul_trial_image *image)
{
	const struct ul_trial *t = record && image ? ul_trial_find(record, image) : NULL;

	if (!t)
		return UL_STANDING_LIVE;
	if (t->state == UL_TRIAL_GOOD)
		return UL_STANDING_GOOD;
	return t->state == UL_TRIAL_TRYING && t->tries_left > 0 ? UL_STANDING_LIVE : UL_STANDING_SPENT;
}

static size_t newest(const enum ul_standing *standing, size_t n, enum ul_standing wanted)
{
	size_t i = 0;

	while (i < n && standing[i] != wanted)
		i++;
	return i;
}

size_t ul_trial_choose(const enum ul_standing *standing, size_t n, bool first)
{
	size_t good = newest(standing, n, UL_STANDING_GOOD), live = newest(standing, n, UL_STANDING_LIVE);

	if (first && live < good)
		return live;
	if (good < n)
		return good;
	return live < n ? live : 0;
}
