/* A start that was counted and does not take place. */
#include "initrd/base/log.h"
#include "initrd/trial/trial.h"

struct ul_trial_image ul_trial_image_of(const struct ul_lower *lower)
{
	const struct ul_descriptor *d = &lower->seal.d;

	return (struct ul_trial_image){d->root_hash, d->root_hash_len,
				       d->version[0] ? d->version : lower->slot.version};
}

/* What no image can be blamed for: another one would fail as well. */
static bool is_the_machines(enum ul_code code)
{
	switch (code) {
	case UL_E_MEMORY:
	case UL_E_CONFIG:
	case UL_E_CMDLINE:
	case UL_E_MODULE:
	case UL_E_DEVICE:
	case UL_E_UPPER:
		return true;
	default:
		return false;
	}
}

void ul_trial_ended(struct ul_boot *b, const struct ul_error *why)
{
	struct ul_boot_record *record = b->record;
	struct ul_trial_image image;

	b->record = NULL;
	if (!record || !b->trial_begun || b->n_lowers == 0)
		return;
	b->trial_begun = false;
	image = ul_trial_image_of(&b->lowers[b->n_lowers - 1]);
	if (is_the_machines(why->code))
		ul_trial_return(&record->store.record, &image);
	else
		ul_trial_explain(&record->store.record, &image, UL_TRIAL_BOOT_FAILED, why->code);
	record->changed = true;
	ul_trial_keep(record);
}
