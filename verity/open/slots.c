/* Finding slots: the partitions of the wanted types that are in use; how they belong together, slot_pairs.h says. */
#include "verity/open/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/compare.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/format/gpt.h"
#include "verity/format/partition_types.h"
#include "verity/format/signature.h"
#include "verity/format/version.h"
#include "verity/open/partition_device.h"
#include "verity/open/slot_pairs.h"

#define SYSFS "/sys"
static const char WHAT[] = "looking for store images";

struct disk {
	const char *path;
	const char *dev_dir;
	int fd;
	dev_t devno; /* 0: an image file */
	struct ul_gpt gpt;
	struct ul_slot_candidates parts;
};

static void disk_close(struct disk *d)
{
	ul_gpt_free(&d->gpt);
	if (d->fd >= 0)
		close(d->fd);
}

static int by_offset(const void *a, const void *b)
{
	const struct ul_partition *const *x = a, *const *y = b;

	return ul_order((*x)->offset, (*y)->offset);
}

static int collect(struct disk *d, const struct ul_partition_types *types, struct ul_error *err)
{
	const char *const wanted[UL_SLOT_ROLES] = {types->data, types->verity, types->verity_sig};
	struct ul_slot_candidates *c = &d->parts;

	for (size_t i = 0; i < d->gpt.n; i++) {
		const struct ul_partition *p = &d->gpt.partitions[i];

		if (strcmp(p->label, UL_SLOT_LABEL_FREE) == 0 || p->no_auto)
			continue;
		for (int role = 0; role < UL_SLOT_ROLES; role++) {
			if (strcmp(p->type, wanted[role]) != 0)
				continue;
			if (c->n[role] == UL_SLOT_PARTS_MAX)
				return ul_error_set(err, UL_E_PARTITIONS, WHAT, d->path, NULL,
						    "more than %d partitions have type %s", UL_SLOT_PARTS_MAX,
						    wanted[role]);
			c->part[role][c->n[role]++] = p;
		}
	}
	for (int role = 0; role < UL_SLOT_ROLES; role++)
		qsort(c->part[role], c->n[role], sizeof(const struct ul_partition *), by_offset);
	return 0;
}

/* What a signature partition says of itself, unverified. */
static struct ul_slot_uuids read_named(const struct disk *d, const struct ul_partition *p)
{
	struct ul_slot_uuids uuids = {"", ""};
	struct ul_signature_blob blob = {0};
	size_t len = p->size < UL_SIGNATURE_PARTITION_MAX ? (size_t)p->size : UL_SIGNATURE_PARTITION_MAX;
	ul_autofree uint8_t *bytes = malloc(len);

	if (bytes && ul_pread_full(d->fd, bytes, len, p->offset) == 0 &&
	    ul_signature_parse(bytes, len, &blob, NULL) == 0) {
		uuids = ul_slot_uuids_of(blob.root_hash);
		ul_signature_free(&blob);
	}
	return uuids;
}

/* With one of each, as on nearly every disk, nothing is to be told apart, and nothing is read. */
static void read_names(struct disk *d)
{
	struct ul_slot_candidates *c = &d->parts;

	if (c->n[UL_SLOT_DATA] <= 1 && c->n[UL_SLOT_HASH] <= 1 && c->n[UL_SLOT_SIG] <= 1)
		return;
	for (size_t i = 0; i < c->n[UL_SLOT_SIG]; i++)
		c->named[i] = read_named(d, c->part[UL_SLOT_SIG][i]);
}

void ul_slot_claim(struct ul_slot *slot)
{
	ul_autoclose int fd = -1;
	ul_autofree uint8_t *bytes = NULL;
	struct ul_signature_blob blob = {0};
	size_t size = slot->sig.size < UL_SIGNATURE_PARTITION_MAX ? (size_t)slot->sig.size : UL_SIGNATURE_PARTITION_MAX;
	size_t len;

	if (slot->claim_len > 0 || !slot->sig.device)
		return;
	fd = open(slot->sig.device, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bytes = malloc(size);
	if (fd < 0 || !bytes || ul_pread_full(fd, bytes, size, slot->sig.offset) < 0 ||
	    ul_signature_parse(bytes, size, &blob, NULL) < 0)
		return;
	len = strlen(blob.root_hash);
	if (len <= 2 * sizeof(slot->claim) && ul_hex_decode(blob.root_hash, len, slot->claim, len / 2))
		slot->claim_len = len / 2;
	ul_signature_free(&blob);
}

static int make_extent(struct disk *d, const struct ul_partition *p, struct ul_extent *ret, struct ul_error *err)
{
	struct ul_extent extent = {.size = p->size};
	int r;

	if (!d->devno) {
		extent.offset = p->offset;
		extent.device = strdup(d->path);
		if (!extent.device)
			return ul_error_nomem(err, WHAT);
		*ret = extent;
		return 0;
	}
	r = ul_partition_device(SYSFS, d->dev_dir, d->devno, p, &extent.device, err);
	if (r == -UL_E_DEVICE && d->gpt.from_backup)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, d->path,
				    "Restore it (sfdisk, gdisk), or boot with the parameter gpt.",
				    "the primary GPT is damaged, and the kernel does not use the backup by itself");
	if (r == 0)
		*ret = extent;
	return r;
}

/* Split NAME_VERSION. What is not a name or a version stays empty: foreign images have labels of any kind. */
static void split_label(struct ul_slot *slot)
{
	const char *cut = strchr(slot->label, '_');
	size_t len = cut ? (size_t)(cut - slot->label) : strlen(slot->label);

	if (len < sizeof(slot->name))
		memcpy(slot->name, slot->label, len);
	if (!ul_image_name_valid(slot->name))
		memset(slot->name, 0, sizeof(slot->name));
	if (cut && strlen(cut + 1) < sizeof(slot->version) && ul_image_version_valid(cut + 1))
		memcpy(slot->version, cut + 1, strlen(cut + 1));
}

void ul_slot_title(const struct ul_slot *slot, char *buf, size_t size)
{
	char text[400];

	snprintf(text, sizeof(text), "%s%s%s on %s", slot->name[0] ? slot->name : "an image",
		 slot->version[0] ? " " : "", slot->version, slot->data.device ? slot->data.device : slot->disk);
	ul_escape_text(buf, size, text);
}

void ul_slot_free(struct ul_slot *slot)
{
	free(slot->disk);
	free(slot->data.device);
	free(slot->hash.device);
	free(slot->sig.device);
	*slot = (struct ul_slot){0};
}

static int add_slot(struct disk *d, const struct ul_slot_parts *parts, struct ul_slot_list *list, struct ul_error *err)
{
	const struct ul_partition *data = parts->data, *hash = parts->hash, *sig = parts->sig;
	struct ul_slot slot = {0};
	int r;

	memcpy(slot.data_uuid, data->uuid, sizeof(slot.data_uuid));
	memcpy(slot.hash_uuid, hash->uuid, sizeof(slot.hash_uuid));
	memcpy(slot.label, data->label, sizeof(data->label));
	split_label(&slot);
	slot.disk = strdup(d->path);
	r = slot.disk ? 0 : ul_error_nomem(err, WHAT);
	if (r == 0)
		r = make_extent(d, data, &slot.data, err);
	if (r == 0)
		r = make_extent(d, hash, &slot.hash, err);
	if (r == 0 && sig)
		r = make_extent(d, sig, &slot.sig, err);
	if (r == 0 && ul_vector_push(list, slot) < 0)
		r = ul_error_nomem(err, WHAT);
	if (r < 0)
		ul_slot_free(&slot);
	return r;
}

/* 0 with d->fd < 0: the drive has no medium. */
static int disk_open(struct disk *d, struct ul_error *err)
{
	struct stat st;

	d->fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (d->fd < 0 && errno == ENOMEDIUM)
		return 0;
	if (d->fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, WHAT, d->path, NULL, errno);
	if (fstat(d->fd, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, d->path, NULL, errno);
	/* A disk without a folder of devices is read like an image file: by ranges. */
	d->devno = S_ISBLK(st.st_mode) && d->dev_dir ? st.st_rdev : 0;
	return ul_gpt_read(d->fd, d->path, &d->gpt, err);
}

int ul_slots_probe_types(const char *disk, const char *dev_dir, const struct ul_partition_types *types,
			 const char *root_hash, struct ul_slot_list *list, struct ul_error *err)
{
	UL_CLEANUP(disk_close) struct disk d = {.path = disk, .dev_dir = dev_dir, .fd = -1};
	struct ul_slot_parts parts[UL_SLOT_PARTS_MAX];
	size_t before = list->n;
	int r = disk_open(&d, err);

	if (r == 0)
		r = collect(&d, types, err);
	if (r < 0)
		return r;
	read_names(&d);
	d.parts.known = ul_slot_uuids_of(root_hash);
	ul_slot_pair(&d.parts, parts);
	for (size_t i = 0; r == 0 && i < d.parts.n[UL_SLOT_DATA]; i++)
		if (parts[i].hash)
			r = add_slot(&d, &parts[i], list, err);
	/* All slots of a disk or none: a caller that waits for devices asks again. */
	while (r < 0 && list->n > before)
		ul_slots_remove(list, list->n - 1);
	return r;
}

int ul_slots_probe(const char *disk, const char *dev_dir, const char *designator, const char *root_hash,
		   struct ul_slot_list *list, struct ul_error *err)
{
	const struct ul_partition_types *types = ul_partition_types_find(NULL, designator);

	if (!types)
		return ul_error_set(err, UL_E_CONFIG, WHAT, designator, "Use usr or root.",
				    "no partition type is known for it on this architecture");
	return ul_slots_probe_types(disk, dev_dir, types, root_hash, list, err);
}

static int by_version(const void *a, const void *b)
{
	const struct ul_slot *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order == 0)
		order = ul_version_compare(y->version, x->version);
	if (order == 0)
		order = strcmp(x->disk, y->disk);
	if (order == 0)
		order = strcmp(x->data.device, y->data.device);
	if (order == 0)
		order = ul_order(x->data.offset, y->data.offset);
	return order;
}

void ul_slots_sort(struct ul_slot_list *list)
{
	ul_vector_sort(list, by_version);
}

void ul_slots_free(struct ul_slot_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		ul_slot_free(&list->at[i]);
	ul_vector_free(list);
}

void ul_slots_remove(struct ul_slot_list *list, size_t i)
{
	ul_slot_free(&list->at[i]);
	ul_vector_remove(list, i);
}
