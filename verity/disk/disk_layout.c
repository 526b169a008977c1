#include "verity/disk/disk_layout.h"

#include <inttypes.h>

#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/format/image_layout.h"

static const char WHAT[] = "laying out the disk";

#define MIB        UL_IMAGE_ALIGN
#define BACKUP_GPT MIB /* what is kept free at the end: 5 sectors of 4096 bytes or 33 of 512, and whole MiB */

/* More than any disk has, and small enough to be added up without a thought. */
#define SIZE_LIMIT (1ull << 60)

static const char TODO_DEVICE[] =
	"Take a larger disk, or smaller parts: --slots, --slot-size, --esp-size, --upper-size.";

static const char *object_of(const struct ul_disk_request *q)
{
	return q->device ? q->device : "the disk";
}

static uint64_t whole_mib(uint64_t size)
{
	return (size + MIB - 1) / MIB * MIB;
}

/* Bytes of the hash partition for that much data, by the geometry of the image that is there: with FEC as it has. */
static uint64_t hash_room(const struct ul_descriptor *d, uint64_t data_size)
{
	struct ul_descriptor wanted = *d;

	wanted.data_blocks = data_size / d->data_block_size;
	wanted.fec_start = d->fec_roots ? wanted.hash_start + ul_hash_tree_size(&wanted) : 0;
	return wanted.hash_start + ul_hash_tree_size(&wanted) + ul_fec_size(&wanted);
}

static struct ul_disk_range take(uint64_t *at, uint64_t size)
{
	struct ul_disk_range range = {.offset = *at, .size = size};

	*at += whole_mib(size);
	return range;
}

static int take_slots(const struct ul_disk_request *q, uint64_t *at, struct ul_disk_layout *l, struct ul_error *err)
{
	uint64_t data = whole_mib(q->slot_size ? q->slot_size : q->data_size + q->data_size / 2);
	uint64_t hash = whole_mib(hash_room(q->d, data));

	if (data < q->data_size)
		return ul_error_set(err, UL_E_INPUT, WHAT, "the image", "Make the slots larger by --slot-size.",
				    "it has %" PRIu64 " bytes, the slots have room for %" PRIu64, q->data_size, data);
	/* An image whose tree does not follow our own geometry; it is there, and has to fit. */
	if (hash < q->hash_size)
		hash = whole_mib(q->hash_size);
	for (unsigned int i = 0; i < q->slots; i++) {
		l->slot[i].data = take(at, data);
		l->slot[i].hash = take(at, hash);
		l->slot[i].sig = take(at, UL_SIG_PARTITION_SIZE);
	}
	l->slots = q->slots;
	return 0;
}

static int take_upper(const struct ul_disk_request *q, uint64_t *at, struct ul_disk_layout *l, struct ul_error *err)
{
	uint64_t size = q->upper_size;

	if (q->no_upper)
		return 0;
	if (size == 0 && q->size == 0 && !q->device)
		size = UL_DISK_UPPER_SIZE;
	else if (size == 0 && q->size >= *at + BACKUP_GPT + MIB)
		size = q->size - *at - BACKUP_GPT;
	else if (size == 0)
		return ul_error_set(
			err, UL_E_INPUT, WHAT, object_of(q),
			q->device ? TODO_DEVICE : "Make it larger by --size, or leave the upper out by --upper-size 0.",
			"it has %" PRIu64 " bytes, %" PRIu64 " are needed before the upper", q->size, *at + BACKUP_GPT);
	l->upper = take(at, whole_mib(size));
	return 0;
}

int ul_disk_layout(const struct ul_disk_request *q, struct ul_disk_layout *ret, struct ul_error *err)
{
	struct ul_disk_layout l = {0};
	uint64_t at = MIB;
	int r = 0;

	if (q->size % MIB != 0)
		return ul_error_set(err, UL_E_INPUT, WHAT, object_of(q), NULL,
				    "its size of %" PRIu64 " bytes is not a whole number of MiB", q->size);
	if (q->size > SIZE_LIMIT || q->slot_size > SIZE_LIMIT / 64 || q->upper_size > SIZE_LIMIT / 4 ||
	    q->esp_size > SIZE_LIMIT / 4)
		return ul_error_set(err, UL_E_INPUT, WHAT, "the disk", NULL, "a size of it is beyond all disks");
	l.esp = take(&at, whole_mib(q->esp_size));
	if (q->slots > 0)
		r = take_slots(q, &at, &l, err);
	l.trials = take(&at, UL_DISK_TRIALS_SIZE);
	if (r == 0)
		r = take_upper(q, &at, &l, err);
	if (r < 0)
		return r;
	l.size = q->size || q->device ? q->size : at + BACKUP_GPT;
	if (at + BACKUP_GPT > l.size)
		return ul_error_set(err, UL_E_INPUT, WHAT, object_of(q),
				    q->device ? TODO_DEVICE : "Make it larger by --size, or its parts smaller.",
				    "it has %" PRIu64 " bytes, its parts need %" PRIu64, l.size, at + BACKUP_GPT);
	*ret = l;
	return 0;
}
