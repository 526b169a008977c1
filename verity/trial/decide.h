/*
 * Which image is started next. Pure. The record only orders: every one of these is still verified, and must be signed
 * and above the policy's floor, before anything of it is used.
 *
 * The order: the newest that is good or has tries left; where it was refused, the good ones, newest first; then those
 * with tries left; and where nothing is left but what had its tries in vain, the newest of that, for a machine that
 * might come up is more than one that certainly does not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "verity/trial/record.h"

enum ul_standing {
	UL_STANDING_LIVE, /* new, or with tries left */
	UL_STANDING_GOOD,
	UL_STANDING_SPENT, /* bad, or without a try left */
};

/* record NULL: nothing is known of any image. image NULL: nothing is known of this one. Both: live. */
enum ul_standing ul_trial_standing(const struct ul_trial_record *record, const struct ul_trial_image *image);

/*
 * The next of n > 0 candidates, which stand newest first. first: none was refused in this boot. Returns its index; the
 * caller takes it out and asks again where it is refused.
 */
size_t ul_trial_choose(const enum ul_standing *standing, size_t n, bool first);
