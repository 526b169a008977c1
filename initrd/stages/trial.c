/*
 * Stage trial. Before: the last of b->lowers is verified, and nothing of it was mounted. After: its start is counted,
 * durably, where it is on trial; so whatever happens from here on, it is not started for ever. UL_STAGE_BACK: it is not
 * the image that its slot said it was, and that one's tries are used up; the slot is among the others again, by its
 * right name. Nothing that goes wrong here keeps a machine from starting.
 */
#include <inttypes.h>
#include <string.h>

#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/base/titles.h"
#include "initrd/stages/stages.h"
#include "initrd/trial/trial.h"
#include "verity/trial/decide.h"
#include "verity/trial/sentence.h"

/* It lies there under another root hash than it has: find knows now. true: it is among b->slots again. */
static bool put_back(struct ul_boot *b, struct ul_lower *lower)
{
	const struct ul_descriptor *d = &lower->seal.d;
	struct ul_slot *slot = &lower->slot;

	/* Where its claim was right, or it is the only one, it was chosen for want of another. A file's has loops. */
	if (b->files_found || b->slots.n == 0 ||
	    (slot->claim_len == d->root_hash_len && memcmp(slot->claim, d->root_hash, d->root_hash_len) == 0))
		return false;
	memcpy(slot->claim, d->root_hash, d->root_hash_len);
	slot->claim_len = d->root_hash_len;
	if (ul_vector_push(&b->slots, *slot) < 0)
		return false;
	lower->has_slot = false; /* the list owns it */
	ul_lower_release(b, lower);
	b->n_lowers--;
	return true;
}

static void tell(const struct ul_boot *b, const struct ul_lower *lower, const struct ul_trial *t)
{
	char title[UL_TITLE_SIZE], sentence[UL_TRIAL_SENTENCE];

	ul_lower_title(lower, title, sizeof(title));
	if (t && t->state == UL_TRIAL_BAD)
		ul_log(UL_LOG_WARNING, "trial: %s is started for want of another; it is %s", title,
		       ul_trial_sentence(t, true, sentence));
	else
		ul_log(t && t->state == UL_TRIAL_TRYING ? UL_LOG_INFO : UL_LOG_DEBUG, "trial: %s is %s", title,
		       ul_trial_sentence(t, true, sentence));
	(void)b;
}

int ul_stage_trial(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	struct ul_boot_record *record;
	struct ul_trial_image image;
	enum ul_standing standing;

	(void)err;
	b->record = NULL;
	b->trial_begun = false;
	if (b->policy.tries == 0 || lower->shared)
		return 0;
	record = ul_trial_record(b, &lower->slot);
	if (!record)
		return 0;
	image = ul_trial_image_of(lower);
	standing = ul_trial_standing(&record->store.record, &image);
	if (standing == UL_STANDING_SPENT && put_back(b, lower))
		return UL_STAGE_BACK;
	if (standing == UL_STANDING_LIVE) {
		ul_trial_begin(&record->store.record, &image, (unsigned int)b->policy.tries);
		b->trial_begun = true;
		record->changed = true;
	}
	ul_trial_keep(record);
	b->record = record;
	tell(b, lower, ul_trial_find(&record->store.record, &image));
	return 0;
}
