/* Which slot is tried next: the records' word on each, by the root hash that it says it has. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "initrd/base/log.h"
#include "initrd/trial/trial.h"
#include "verity/trial/decide.h"
#include "verity/trial/sentence.h"

static const struct ul_trial *entry_of(struct ul_boot *b, struct ul_slot *slot, enum ul_standing *ret)
{
	struct ul_boot_record *record = ul_trial_record(b, slot);
	struct ul_trial_image image;

	ul_slot_claim(slot);
	image = (struct ul_trial_image){slot->claim, slot->claim_len, slot->version};
	*ret = ul_trial_standing(record ? &record->store.record : NULL, slot->claim_len ? &image : NULL);
	return record && slot->claim_len ? ul_trial_find(&record->store.record, &image) : NULL;
}

static void pass_over(struct ul_boot *b, struct ul_slot *slot)
{
	char title[UL_TITLE_SIZE], why[UL_TRIAL_SENTENCE];
	enum ul_standing standing;
	struct ul_passed *p;

	ul_slot_title(slot, title, sizeof(title));
	for (size_t i = 0; i < b->n_passed; i++)
		if (!strcmp(b->passed[i].slot, title))
			return;
	ul_trial_sentence(entry_of(b, slot, &standing), false, why);
	ul_log(UL_LOG_WARNING, "trial: %s is passed over: %s", title, why);
	if (b->n_passed == UL_BOOT_REFUSALS)
		return;
	p = &b->passed[b->n_passed++];
	memcpy(p->slot, title, sizeof(p->slot));
	memcpy(p->why, why, sizeof(why));
}

size_t ul_trial_next(struct ul_boot *b)
{
	ul_autofree enum ul_standing *standing = NULL;
	size_t next;

	if (b->policy.tries == 0 || b->slots.n == 1)
		return 0;
	standing = calloc(b->slots.n, sizeof(*standing));
	if (!standing)
		return 0;
	for (size_t i = 0; i < b->slots.n; i++)
		(void)entry_of(b, &b->slots.at[i], &standing[i]);
	next = ul_trial_choose(standing, b->slots.n, b->n_refusals == 0);
	/* An untried one behind which a good one stands is not spoken against: nothing is said of it. */
	for (size_t i = 0; i < next; i++)
		if (standing[i] == UL_STANDING_SPENT)
			pass_over(b, &b->slots.at[i]);
	return next;
}
