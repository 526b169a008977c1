#include "verity/disk/disk_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compare.h"
#include "common/encoding.h"
#include "verity/disk/disk_layout.h"
#include "verity/format/image_layout.h"
#include "verity/format/partition_types.h"
#include "verity/open/slot_pairs.h"
#include "verity/trial/decide.h"
#include "verity/trial/store.h"

static const char WHAT[] = "looking at the disk";

enum role { ROLE_NONE, ROLE_DATA, ROLE_BESIDE };

/* What a type is to a slot, of any architecture. */
static enum role role_of(const char *type)
{
	const struct ul_partition_types *t = ul_partition_types_of(type);

	return !t ? ROLE_NONE : !strcmp(type, t->data) ? ROLE_DATA : ROLE_BESIDE;
}

static const struct ul_slot_view *image_at(const struct ul_image_view *view, const struct ul_partition *p)
{
	for (size_t i = 0; i < view->slots.n; i++)
		if (view->slots.at[i].data.offset == p->offset)
			return &view->views[i];
	return NULL;
}

/* The list is in the boot's order: of the images of a name, for one machine, the first is what it begins with. */
static bool is_newest(const struct ul_image_view *view, const struct ul_slot_view *image)
{
	for (const struct ul_slot_view *v = view->views; v < image; v++)
		if (v->types == image->types && strcmp(v->slot->name, image->slot->name) == 0)
			return false;
	return true;
}

static bool of_several_types(const struct ul_image_view *view)
{
	for (size_t i = 1; i < view->slots.n; i++)
		if (view->views[i].types != view->views[0].types)
			return true;
	return false;
}

static struct ul_disk_part part_of(const struct ul_image_view *view, const struct ul_partition *p)
{
	struct ul_disk_part part = {.number = p->number, .offset = p->offset, .size = p->size};

	part.end = p->offset + p->size;
	part.out_of_use = p->no_auto;
	memcpy(part.label, p->label, sizeof(part.label));
	if (!strcmp(p->type, UL_DISK_TYPE_ESP))
		part.kind = UL_DISK_ESP;
	else if (!strcmp(p->type, UL_TRIAL_PARTITION_TYPE))
		part.kind = UL_DISK_TRIALS;
	else if (!strcmp(p->type, UL_DISK_TYPE_UPPER))
		part.kind = UL_DISK_UPPER;
	else if (role_of(p->type) == ROLE_DATA)
		part.kind = UL_DISK_SLOT;
	else
		part.kind = UL_DISK_OTHER;
	if (part.kind != UL_DISK_SLOT)
		return part;
	part.image = image_at(view, p);
	if (part.image && !part.image->no_descriptor[0])
		part.used = part.image->descriptor.data_blocks * part.image->descriptor.data_block_size;
	part.newest = part.image && is_newest(view, part.image);
	return part;
}

static int by_offset(const void *a, const void *b)
{
	const struct ul_disk_part *x = a, *y = b;

	return ul_order(x->offset, y->offset);
}

static int push(struct ul_disk_map *map, struct ul_disk_part part, struct ul_error *err)
{
	return ul_vector_push(map, part) < 0 ? ul_error_nomem(err, WHAT) : 0;
}

/* Hash and signature partitions that lie behind a slot's data are part of it. */
static void join_slots(struct ul_disk_map *map)
{
	for (size_t i = 1; i < map->n;) {
		struct ul_disk_part *slot = &map->at[i - 1];
		bool beside = false;

		for (size_t k = 0; k < map->view.gpt.n; k++)
			if (map->view.gpt.partitions[k].number == map->at[i].number)
				beside = role_of(map->view.gpt.partitions[k].type) == ROLE_BESIDE;
		if (slot->kind != UL_DISK_SLOT || !beside || strcmp(slot->label, map->at[i].label) != 0) {
			i++;
			continue;
		}
		slot->end = map->at[i].end;
		ul_vector_remove(map, i);
	}
}

/* A gap of less than the alignment, and the tables, are nobody's. */
static int add_free(struct ul_disk_map *map, struct ul_error *err)
{
	uint64_t at = UL_IMAGE_ALIGN, end = map->view.gpt.disk_size;
	size_t n = map->n;
	int r = 0;

	end = end > UL_IMAGE_ALIGN ? end - UL_IMAGE_ALIGN : 0;
	for (size_t i = 0; r == 0 && i <= n; i++) {
		uint64_t next = i < n ? map->at[i].offset : end;

		if (next > at && next - at > UL_IMAGE_ALIGN)
			r = push(map,
				 (struct ul_disk_part){
					 .kind = UL_DISK_FREE, .offset = at, .size = next - at, .end = next},
				 err);
		if (i < n)
			at = map->at[i].end;
	}
	ul_vector_sort(map, by_offset);
	return r;
}

static const struct ul_trial *trial_of(const struct ul_trial_record *record, const struct ul_slot_view *view)
{
	uint8_t hash[UL_ROOT_HASH_MAX];
	size_t len = view->no_signature.code == UL_OK ? strlen(view->blob.root_hash) : 0;

	if (len == 0 || len > 2 * sizeof(hash) || !ul_hex_decode(view->blob.root_hash, len, hash, len / 2))
		return NULL;
	return ul_trial_find(record, &(struct ul_trial_image){hash, len / 2, ""});
}

static enum ul_standing standing_of(const struct ul_disk_map *map, const struct ul_slot_view *view)
{
	const struct ul_trial *t = trial_of(&map->record, view);

	return t ? ul_trial_standing(&map->record, &(struct ul_trial_image){t->root_hash, t->root_hash_len, ""})
		 : UL_STANDING_LIVE;
}

/* The one that the boot begins with, of the images of the name and types that this one has. */
static bool is_first(const struct ul_disk_map *map, const struct ul_slot_view *image)
{
	enum ul_standing standing[UL_SLOT_PARTS_MAX];
	const struct ul_slot_view *of[UL_SLOT_PARTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < map->view.slots.n && n < UL_SLOT_PARTS_MAX; i++) {
		const struct ul_slot_view *v = &map->view.views[i];

		if (v->types != image->types || strcmp(v->slot->name, image->slot->name) != 0)
			continue;
		of[n] = v;
		standing[n++] = standing_of(map, v);
	}
	return n > 0 && of[ul_trial_choose(standing, n, true)] == image;
}

/* A disk without a record, or with one that cannot be read: nothing is known. */
static void add_trials(const char *disk, struct ul_disk_map *map)
{
	struct ul_trial_store store;

	if (ul_trial_store_open(disk, UL_TRIAL_READ, &store, NULL) == 0)
		map->record = store.record;
	ul_trial_store_close(&store);
	for (size_t i = 0; i < map->n; i++) {
		struct ul_disk_part *p = &map->at[i];

		if (p->image)
			p->first = is_first(map, p->image);
	}
}

/* At last, when the map has its place: entries are lent from it. */
static void lend_trials(struct ul_disk_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->at[i].image)
			map->at[i].trial = trial_of(&map->record, map->at[i].image);
}

int ul_disk_map(const char *disk, struct ul_disk_map *ret, struct ul_error *err)
{
	struct ul_disk_map map = {.n = 0};
	ul_autoclose int fd = -1;
	int r = ul_image_view(disk, &map.view, err);

	if (r < 0)
		return r;
	fd = open(disk, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		r = ul_error_errno(err, UL_E_SYSTEM, WHAT, disk, NULL, errno);
	for (size_t i = 0; r == 0 && i < map.view.gpt.n; i++) {
		struct ul_disk_part part = part_of(&map.view, &map.view.gpt.partitions[i]);

		if (part.kind != UL_DISK_SLOT)
			ul_content_type(fd, part.offset, part.size, part.content);
		r = push(&map, part, err);
	}
	map.several_types = of_several_types(&map.view);
	if (r == 0) {
		ul_vector_sort(&map, by_offset);
		join_slots(&map);
		add_trials(disk, &map);
		r = add_free(&map, err);
	}
	if (r < 0) {
		ul_disk_map_free(&map);
		return r;
	}
	*ret = map;
	lend_trials(ret);
	return 0;
}

void ul_disk_map_free(struct ul_disk_map *map)
{
	ul_image_view_free(&map->view);
	ul_vector_free(map);
}
