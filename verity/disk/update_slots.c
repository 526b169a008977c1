#include "verity/disk/update_slots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compare.h"
#include "common/encoding.h"
#include "verity/format/image_layout.h"
#include "verity/format/version.h"
#include "verity/open/slot_pairs.h"
#include "verity/open/slots.h"
#include "verity/trial/sentence.h"
#include "verity/trial/store.h"

static const char WHAT[] = "choosing a slot";

int ul_update_work_uuid(const struct ul_descriptor *d, unsigned int role, uint8_t ret[16])
{
	char label[32];

	snprintf(label, sizeof(label), "update-%u", role);
	return ul_image_derive_uuid(label, d->root_hash, d->root_hash_len, ret);
}

/* ---- what the disk has ---- */

static const struct ul_partition *at_offset(const struct ul_gpt *gpt, uint64_t offset)
{
	for (size_t i = 0; i < gpt->n; i++)
		if (gpt->partitions[i].offset == offset)
			return &gpt->partitions[i];
	return NULL;
}

static bool is_running(const struct ul_update_query *q, const struct ul_descriptor *d)
{
	char hex[2 * UL_ROOT_HASH_MAX + 1];

	ul_hex_encode(d->root_hash, d->root_hash_len, hex);
	return q->running && !strcmp(hex, q->running);
}

/* One that the boot would look at: what it would say of it. */
static int add_used(const struct ul_update_query *q, const struct ul_slot *found, struct ul_update_slots *slots,
		    struct ul_error *err)
{
	struct ul_requirements demands = *q->demands;
	const struct ul_extent *extent[3] = {&found->data, &found->hash, &found->sig};
	struct ul_update_slot slot = {.content = UL_UPDATE_IMAGE};
	struct ul_seal seal = {0};

	for (int i = 0; i < 3; i++) {
		const struct ul_partition *p = extent[i]->device ? at_offset(&slots->gpt, extent[i]->offset) : NULL;

		if (!p)
			return 0;
		slot.part[i] = *p;
	}
	memcpy(slot.name, found->name, sizeof(slot.name));
	memcpy(slot.version, found->version, sizeof(slot.version));
	demands.name = NULL;
	if (ul_judge_seal(found, &demands, &seal, &slot.refused) == 0) {
		slot.refused = (struct ul_error){0};
		slot.root_hash_len = seal.d.root_hash_len;
		memcpy(slot.root_hash, seal.d.root_hash, seal.d.root_hash_len);
		if (seal.d.name[0]) {
			memcpy(slot.name, seal.d.name, sizeof(slot.name));
			memcpy(slot.version, seal.d.version, sizeof(slot.version));
		}
		slot.running = is_running(q, &seal.d);
	}
	ul_seal_free(&seal);
	return ul_vector_push(slots, slot) < 0 ? ul_error_nomem(err, WHAT) : 0;
}

static bool is_taken(const struct ul_update_slots *slots, const struct ul_partition *p)
{
	for (size_t i = 0; i < slots->n; i++)
		for (int k = 0; k < 3; k++)
			if (slots->at[i].part[k].number == p->number)
				return true;
	return false;
}

static int by_offset(const void *a, const void *b)
{
	const struct ul_partition *const *x = a, *const *y = b;

	return ul_order((*x)->offset, (*y)->offset);
}

/* What belongs to no slot yet: free ones, and those that another updater has left half-way. */
static int collect_rest(const struct ul_update_query *q, const struct ul_update_slots *slots,
			struct ul_slot_candidates *c, struct ul_error *err)
{
	const char *const types[UL_SLOT_ROLES] = {q->types->data, q->types->verity, q->types->verity_sig};

	for (size_t i = 0; i < slots->gpt.n; i++) {
		const struct ul_partition *p = &slots->gpt.partitions[i];

		for (int role = 0; role < UL_SLOT_ROLES; role++) {
			if (strcmp(p->type, types[role]) != 0 || p->no_auto || is_taken(slots, p))
				continue;
			if (c->n[role] == UL_SLOT_PARTS_MAX)
				return ul_error_set(err, UL_E_PARTITIONS, WHAT, q->disk, NULL,
						    "more than %d partitions have type %s", UL_SLOT_PARTS_MAX,
						    types[role]);
			c->part[role][c->n[role]++] = p;
		}
	}
	for (int role = 0; role < UL_SLOT_ROLES; role++)
		qsort(c->part[role], c->n[role], sizeof(const struct ul_partition *), by_offset);
	return 0;
}

static struct ul_update_slot rest_slot(const struct ul_update_query *q, const struct ul_slot_parts *parts)
{
	struct ul_update_slot slot = {.part = {*parts->data, *parts->hash, *parts->sig}, .content = UL_UPDATE_FREE};
	uint8_t uuid[16];

	if (strcmp(parts->data->label, UL_SLOT_LABEL_FREE) != 0) {
		slot.content = UL_UPDATE_IMAGE;
		(void)ul_error_set(&slot.refused, UL_E_PARTITIONS, WHAT, q->disk, NULL,
				   "partition %u has no hash partition of its own", parts->data->number);
	} else if (ul_update_work_uuid(q->d, UL_SLOT_DATA, uuid) == 0 && ul_uuid_is(parts->data->uuid, uuid)) {
		slot.content = UL_UPDATE_IN_WORK;
	}
	return slot;
}

static int add_rest(const struct ul_update_query *q, struct ul_update_slots *slots, struct ul_error *err)
{
	struct ul_slot_parts parts[UL_SLOT_PARTS_MAX];
	struct ul_slot_candidates c = {0};
	int r = collect_rest(q, slots, &c, err);

	if (r < 0)
		return r;
	ul_slot_pair(&c, parts);
	for (size_t i = 0; i < c.n[UL_SLOT_DATA]; i++)
		if (parts[i].hash && parts[i].sig && ul_vector_push(slots, rest_slot(q, &parts[i])) < 0)
			return ul_error_nomem(err, WHAT);
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct ul_update_slot *x = a, *y = b;

	return ul_order(x->part[0].offset, y->part[0].offset);
}

static int read_table(const struct ul_update_query *q, struct ul_gpt *ret, struct ul_error *err)
{
	ul_autoclose int fd = open(q->disk, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, q->disk, NULL, errno);
	r = ul_gpt_read(fd, q->disk, ret, err);
	if (r == 0 && !ret->present)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, q->disk,
				    "Make one by `underlay disk build`, or name another disk.",
				    "it has no partition table (GPT)");
	return r;
}

/* What cannot be read is not known: an update does not fail for it. */
static void read_trials(const struct ul_update_query *q, struct ul_update_slots *slots)
{
	struct ul_trial_store store;
	int r = ul_trial_store_open(q->disk, UL_TRIAL_READ, &store, NULL);

	if (r == 0 && store.place == UL_TRIAL_NOWHERE && q->efivars) {
		ul_trial_store_close(&store);
		r = ul_trial_store_open_efi(q->efivars, UL_TRIAL_READ, &store, NULL);
	}
	if (r == 0)
		slots->record = store.record;
	ul_trial_store_close(&store);
	for (size_t i = 0; i < slots->n; i++) {
		struct ul_update_slot *s = &slots->at[i];
		struct ul_trial_image image = {s->root_hash, s->root_hash_len, s->version};

		s->standing = ul_trial_standing(&slots->record, s->root_hash_len ? &image : NULL);
	}
}

int ul_update_slots(const struct ul_update_query *q, struct ul_update_slots *ret, struct ul_error *err)
{
	struct ul_update_slots slots = {.n = 0};
	struct ul_slot_list used = {0};
	int r = read_table(q, &slots.gpt, err);

	if (r == 0)
		r = ul_slots_probe_types(q->disk, NULL, q->types, q->running, &used, err);
	for (size_t i = 0; r == 0 && i < used.n; i++)
		r = add_used(q, &used.at[i], &slots, err);
	if (r == 0)
		r = add_rest(q, &slots, err);
	ul_slots_free(&used);
	if (r < 0) {
		ul_update_slots_free(&slots);
		return r;
	}
	ul_vector_sort(&slots, by_place);
	read_trials(q, &slots);
	*ret = slots;
	return 0;
}

void ul_update_slots_free(struct ul_update_slots *slots)
{
	ul_vector_free(slots);
	ul_gpt_free(&slots->gpt);
}

/* ---- which one ---- */

static bool starts(const struct ul_update_slot *slot)
{
	return slot->content == UL_UPDATE_IMAGE && slot->refused.code == UL_OK;
}

static bool is_good(const struct ul_update_slot *slot)
{
	return starts(slot) && slot->standing == UL_STANDING_GOOD;
}

static bool is_same_image(const struct ul_update_slot *slot, const struct ul_descriptor *d)
{
	return starts(slot) && slot->root_hash_len == d->root_hash_len &&
	       memcmp(slot->root_hash, d->root_hash, d->root_hash_len) == 0;
}

static bool has_room(const struct ul_update_slot *slot, const struct ul_update_wish *wish)
{
	return slot->part[UL_SLOT_DATA].size >= wish->data_size && slot->part[UL_SLOT_HASH].size >= wish->hash_size &&
	       slot->part[UL_SLOT_SIG].size >= UL_SIG_PARTITION_SIZE;
}

/* The newest of the name that would be started, not for want of another; NULL. */
static const struct ul_update_slot *newest(const struct ul_update_slots *slots, const char *name)
{
	const struct ul_update_slot *best = NULL;

	for (size_t i = 0; i < slots->n; i++) {
		const struct ul_update_slot *s = &slots->at[i];

		if (starts(s) && s->standing != UL_STANDING_SPENT && !strcmp(s->name, name) &&
		    (!best || ul_version_compare(s->version, best->version) > 0))
			best = s;
	}
	return best;
}

/* A machine has one image's versions on its disk; another one's name there is a mistake, unless its place is named. */
static int check_name(const struct ul_update_slots *slots, const struct ul_update_wish *wish, struct ul_error *err)
{
	for (size_t i = 0; i < slots->n && !wish->number; i++)
		if (starts(&slots->at[i]))
			return ul_error_set(err, UL_E_INPUT, "updating", wish->disk,
					    "Name the slot by --slot where that is meant.",
					    "its images are called %s, and this one %s", slots->at[i].name,
					    wish->d->name);
	return 0;
}

static int check_newer(const struct ul_update_slots *slots, const struct ul_update_wish *wish, struct ul_error *err)
{
	const struct ul_update_slot *have = newest(slots, wish->d->name);
	int order = have ? ul_version_compare(wish->d->version, have->version) : 1;

	if (!have)
		return check_name(slots, wish, err);
	if (order > 0 || wish->allow_older)
		return 0;
	return ul_error_set(err, UL_E_INPUT, "updating", wish->disk, "Say --allow-older where that is meant.",
			    order == 0 ? "it has another image that is %s %s, too (partition %u)"
				       : "it has %s %s (partition %u), which is newer",
			    have->name, have->version, have->part[UL_SLOT_DATA].number);
}

/* Why this slot is not to be written; NULL: it may be. */
static const char *forbidden(const struct ul_update_slots *slots, const struct ul_update_slot *slot,
			     const struct ul_update_wish *wish)
{
	size_t images = 0, others_start = 0, others_good = 0;

	for (size_t i = 0; i < slots->n; i++) {
		images += slots->at[i].content == UL_UPDATE_IMAGE;
		others_start += &slots->at[i] != slot && starts(&slots->at[i]);
		others_good += &slots->at[i] != slot && is_good(&slots->at[i]);
	}
	if (!has_room(slot, wish))
		return "too small";
	if (slot->content != UL_UPDATE_IMAGE)
		return NULL;
	if (slot->running)
		return "it runs";
	if (images == 1)
		return "the only image";
	if (starts(slot) && others_start == 0)
		return "the only image that would be started";
	if (is_good(slot) && others_good == 0)
		return "the only image that is known to be good";
	if (strcmp(slot->name, wish->d->name) != 0 && slot->name[0] && !wish->number)
		return "another name";
	return NULL;
}

/* Smaller is rather written; of equal ones the older image. */
static int rank(const struct ul_update_slot *slot)
{
	if (slot->content == UL_UPDATE_IN_WORK)
		return 0;
	return slot->content == UL_UPDATE_FREE ? 1 : starts(slot) && slot->standing != UL_STANDING_SPENT ? 3 : 2;
}

static bool is_rather(const struct ul_update_slot *slot, const struct ul_update_slot *best)
{
	int a = rank(slot), b = rank(best);

	return a != b ? a < b
		      : slot->content == UL_UPDATE_IMAGE && ul_version_compare(slot->version, best->version) < 0;
}

/* "2: too small (8388608 and 1048576 bytes); 5: it runs" */
static void list_reasons(const struct ul_update_slots *slots, const struct ul_update_wish *wish, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < slots->n && at < size; i++) {
		const struct ul_update_slot *s = &slots->at[i];
		const char *why = forbidden(slots, s, wish);
		bool small = !has_room(s, wish);

		if (wish->number && s->part[UL_SLOT_DATA].number != wish->number)
			continue;
		at += (size_t)snprintf(buf + at, size - at, "%s%u: %s", at ? "; " : "", s->part[UL_SLOT_DATA].number,
				       why ? why : "");
		if (small && at < size)
			at += (size_t)snprintf(buf + at, size - at, " (%" PRIu64 " and %" PRIu64 " bytes)",
					       s->part[UL_SLOT_DATA].size, s->part[UL_SLOT_HASH].size);
	}
}

static int none(const struct ul_update_slots *slots, const struct ul_update_wish *wish, struct ul_error *err)
{
	char reasons[400];

	list_reasons(slots, wish, reasons, sizeof(reasons));
	if (wish->number && !reasons[0])
		return ul_error_set(err, UL_E_INPUT, WHAT, wish->disk, "See `underlay disk show`.",
				    "partition %u is not the data partition of a slot for this image", wish->number);
	if (!reasons[0])
		return ul_error_set(err, UL_E_INPUT, WHAT, wish->disk, "See `underlay disk show`.",
				    "it has no slot for an image of this machine and kind");
	return ul_error_set(err, UL_E_INPUT, WHAT, wish->disk, "See `underlay disk show`.",
			    "none of its slots may be written: the image needs %" PRIu64 " and %" PRIu64
			    " bytes; by data partition: %s",
			    wish->data_size, wish->hash_size, reasons);
}

/* Or a machine that updates itself would try it again and again. */
static int check_not_in_vain(const struct ul_update_slots *slots, const struct ul_update_wish *wish,
			     struct ul_error *err)
{
	struct ul_trial_image image = {wish->d->root_hash, wish->d->root_hash_len, ""};
	char sentence[UL_TRIAL_SENTENCE];

	if (ul_trial_standing(&slots->record, &image) != UL_STANDING_SPENT)
		return 0;
	return ul_error_set(err, UL_E_INPUT, "updating", wish->disk,
			    "Say `underlay slots forget` of its version where it shall be tried again.",
			    "%s %s was tried on this machine, and is %s", wish->d->name, wish->d->version,
			    ul_trial_sentence(ul_trial_find(&slots->record, &image), false, sentence));
}

int ul_update_choose(const struct ul_update_slots *slots, const struct ul_update_wish *wish, size_t *ret,
		     struct ul_error *err)
{
	const struct ul_update_slot *best = NULL;
	int r = check_not_in_vain(slots, wish, err);

	for (size_t i = 0; r == 0 && i < slots->n; i++)
		if (is_same_image(&slots->at[i], wish->d) &&
		    (!wish->number || slots->at[i].part[UL_SLOT_DATA].number == wish->number)) {
			*ret = i;
			return 0;
		}
	if (r == 0)
		r = check_newer(slots, wish, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < slots->n; i++) {
		const struct ul_update_slot *s = &slots->at[i];

		if ((!wish->number || s->part[UL_SLOT_DATA].number == wish->number) && !forbidden(slots, s, wish) &&
		    (!best || is_rather(s, best)))
			best = s;
	}
	if (!best)
		return none(slots, wish, err);
	*ret = (size_t)(best - slots->at);
	return 1;
}
