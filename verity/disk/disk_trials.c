#include "verity/disk/disk_trials.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "verity/format/version.h"
#include "verity/locate/image_view.h"

static const char WHAT[] = "looking at the trials";

static struct ul_trial_image image_of(const struct ul_disk_trial *t)
{
	return (struct ul_trial_image){t->root_hash, t->root_hash_len, t->version};
}

const struct ul_trial *ul_disk_trial_entry(const struct ul_disk_trials *trials, const struct ul_disk_trial *of)
{
	struct ul_trial_image image = image_of(of);

	return of->root_hash_len ? ul_trial_find(&trials->store.record, &image) : NULL;
}

struct ul_disk_trial *ul_disk_trials_running(const struct ul_disk_trials *trials)
{
	for (size_t i = 0; i < trials->n; i++)
		if (trials->at[i].running)
			return &trials->at[i];
	return NULL;
}

/* ---- what there is ---- */

static bool decode(const char *hex, uint8_t ret[UL_ROOT_HASH_MAX], size_t *ret_len)
{
	size_t len = hex ? strlen(hex) : 0;

	if (len == 0 || len > 2 * UL_ROOT_HASH_MAX || !ul_hex_decode(hex, len, ret, len / 2))
		return false;
	*ret_len = len / 2;
	return true;
}

static bool is_running(const struct ul_disk_trial *t, const char *running)
{
	uint8_t hash[UL_ROOT_HASH_MAX];
	size_t len = 0;

	return decode(running, hash, &len) && len == t->root_hash_len && memcmp(hash, t->root_hash, len) == 0;
}

static int add_slots(const struct ul_disk_trials_query *q, struct ul_disk_trials *t, struct ul_error *err)
{
	UL_CLEANUP(ul_image_view_free) struct ul_image_view view = {.views = NULL};
	int r = ul_image_view(q->disk, &view, err);

	for (size_t i = 0; r == 0 && i < view.slots.n; i++) {
		const struct ul_slot *slot = &view.slots.at[i];
		struct ul_disk_trial one = {.number = 0};

		memcpy(one.name, slot->name, sizeof(one.name));
		memcpy(one.version, slot->version, sizeof(one.version));
		for (size_t k = 0; k < view.gpt.n; k++)
			if (view.gpt.partitions[k].offset == slot->data.offset)
				one.number = view.gpt.partitions[k].number;
		if (view.views[i].no_signature.code == UL_OK)
			(void)decode(view.views[i].blob.root_hash, one.root_hash, &one.root_hash_len);
		one.running = is_running(&one, q->running);
		if (ul_vector_push(t, one) < 0)
			r = ul_error_nomem(err, WHAT);
	}
	return r;
}

static bool is_listed(const struct ul_disk_trials *t, const struct ul_trial *trial)
{
	for (size_t i = 0; i < t->n; i++)
		if (ul_disk_trial_entry(t, &t->at[i]) == trial)
			return true;
	return false;
}

static int add_rest(const struct ul_disk_trials_query *q, struct ul_disk_trials *t, struct ul_error *err)
{
	for (size_t i = 0; i < t->store.record.n; i++) {
		const struct ul_trial *trial = &t->store.record.trials[i];
		struct ul_disk_trial one = {.root_hash_len = trial->root_hash_len};

		if (is_listed(t, trial))
			continue;
		memcpy(one.root_hash, trial->root_hash, trial->root_hash_len);
		memcpy(one.version, trial->version, sizeof(trial->version));
		one.running = is_running(&one, q->running);
		if (ul_vector_push(t, one) < 0)
			return ul_error_nomem(err, WHAT);
	}
	return 0;
}

static void judge(struct ul_disk_trials *t)
{
	enum ul_standing standing[UL_GPT_ENTRIES_MAX];

	for (size_t i = 0; i < t->n; i++) {
		struct ul_trial_image image = image_of(&t->at[i]);

		t->at[i].standing = ul_trial_standing(&t->store.record, t->at[i].root_hash_len ? &image : NULL);
	}
	for (size_t begin = 0, end; begin < t->n && t->at[begin].number; begin = end) {
		for (end = begin; end < t->n && end - begin < UL_GPT_ENTRIES_MAX && t->at[end].number &&
				  !strcmp(t->at[end].name, t->at[begin].name);
		     end++)
			standing[end - begin] = t->at[end].standing;
		t->at[begin + ul_trial_choose(standing, end - begin, true)].next = true;
	}
}

static int open_store(const struct ul_disk_trials_query *q, enum ul_trial_access access, struct ul_trial_store *store,
		      struct ul_error *err)
{
	const char *disk = q->record ? q->record : q->disk;
	int r = 0;

	*store = (struct ul_trial_store){.fd = -1};
	if (disk && disk[0])
		r = ul_trial_store_open(disk, access, store, err);
	if (r < 0 || store->place != UL_TRIAL_NOWHERE)
		return r;
	ul_trial_store_close(store);
	if (q->efivars)
		r = ul_trial_store_open_efi(q->efivars, access, store, err);
	if (r == 0 && store->place == UL_TRIAL_NOWHERE)
		r = ul_error_set(err, UL_E_DEVICE, WHAT, disk && disk[0] ? disk : "this machine",
				 "Give the disk a partition for them: `underlay disk build` and `underlay install` do.",
				 "it keeps no record of them: no partition of that type, and no EFI variables");
	return r;
}

int ul_disk_trials_open(const struct ul_disk_trials_query *q, enum ul_trial_access access, struct ul_disk_trials *ret,
			struct ul_error *err)
{
	struct ul_disk_trials t = {.n = 0};
	int r = open_store(q, access, &t.store, err);

	if (r == 0 && q->disk)
		r = add_slots(q, &t, err);
	if (r == 0)
		r = add_rest(q, &t, err);
	if (r < 0) {
		ul_disk_trials_close(&t);
		return r;
	}
	judge(&t);
	*ret = t;
	return 0;
}

void ul_disk_trials_close(struct ul_disk_trials *trials)
{
	ul_trial_store_close(&trials->store);
	ul_vector_free(trials);
}

/* ---- the way back ---- */

static const char BACK[] = "going back";

/* NULL: there is none. */
static const struct ul_disk_trial *find_target(const struct ul_disk_trials *t, const struct ul_disk_trial *from,
					       const char *version)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ul_disk_trial *one = &t->at[i];

		if (!one->number || strcmp(one->name, from->name) != 0 || !one->root_hash_len)
			continue;
		if (version ? !strcmp(one->version, version)
			    : ul_version_compare(one->version, from->version) < 0 && one->standing != UL_STANDING_SPENT)
			return one;
	}
	return NULL;
}

static int check_target(const struct ul_disk_trial *from, const struct ul_disk_trial *to, const char *version,
			struct ul_error *err)
{
	if (!to && version)
		return ul_error_set(err, UL_E_INPUT, BACK, version, "See `underlay slots`.",
				    "no slot has this version of %s", from->name);
	if (!to)
		return ul_error_set(err, UL_E_INPUT, BACK, from->name, "See `underlay slots`.",
				    "no slot has one older than %s that is good or has tries left", from->version);
	if (to->standing == UL_STANDING_SPENT)
		return ul_error_set(err, UL_E_INPUT, BACK, to->version,
				    "Say `underlay slots forget` of it, to try it again.",
				    "its tries are used up, or it was taken back itself");
	return 0;
}

int ul_disk_trials_roll_back(struct ul_disk_trials *trials, const char *version, const struct ul_disk_trial **ret,
			     struct ul_error *err)
{
	const struct ul_disk_trial *from = ul_disk_trials_running(trials), *to;
	size_t newer = 0;
	int r;

	/* Where nothing runs from this disk: what it would start. */
	for (size_t i = 0; !from && i < trials->n; i++)
		if (trials->at[i].next)
			from = &trials->at[i];
	if (!from)
		return ul_error_set(err, UL_E_INPUT, BACK, "the disk", NULL, "it has no image");
	to = find_target(trials, from, version);
	r = check_target(from, to, version, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < trials->n; i++) {
		struct ul_disk_trial *one = &trials->at[i];
		struct ul_trial_image image = image_of(one);

		if (!one->number || strcmp(one->name, to->name) != 0 || !one->root_hash_len ||
		    ul_version_compare(one->version, to->version) <= 0)
			continue;
		newer++;
		ul_trial_set_bad(&trials->store.record, &image, UL_TRIAL_ROLLED_BACK);
	}
	if (newer == 0 && to->next)
		return ul_error_set(err, UL_E_INPUT, BACK, to->version, NULL,
				    "it is the newest of %s on the disk: the next boot starts it anyway", to->name);
	*ret = to;
	return ul_trial_store_write(&trials->store, err);
}

int ul_disk_trials_forget(struct ul_disk_trials *trials, const char *version, struct ul_error *err)
{
	bool known = false;

	for (size_t i = 0; i < trials->n; i++) {
		struct ul_trial_image image = image_of(&trials->at[i]);

		if (!strcmp(trials->at[i].version, version) && trials->at[i].root_hash_len)
			known |= ul_trial_forget(&trials->store.record, &image);
	}
	if (!known)
		return ul_error_set(err, UL_E_INPUT, "forgetting trials", version, "See `underlay slots`.",
				    "nothing is known of an image of this version");
	return ul_trial_store_write(&trials->store, err);
}
