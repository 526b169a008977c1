/*
 * Finding slots: the partitions of the wanted types, and which of them belong together.
 *
 * Pairing, for a data partition, in this order; a rule counts only where it names exactly one partition:
 *
 *   1. the only one: one data, one hash, at most one signature partition (nearly every disk);
 *   2. the same label (two slots of different versions, as systemd-sysupdate and `underlay image build`
 *      label them: all three NAME_VERSION);
 *   3. the root hash: a signature partition's JSON names one, whose first 128 bits are the data
 *      partition's UUID and whose last 128 bits are the hash partition's. Only here is JSON read.
 *
 * All of this is hints. A wrong pair cannot be opened: the root hash that the signature covers
 * does not fit it.
 */
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
#include "verity/format/image_layout.h"
#include "verity/format/partition_types.h"
#include "verity/format/signature.h"
#include "verity/format/version.h"
#include "verity/open/partition_device.h"

#define SYSFS "/sys"
/* systemd-sysupdate's label of a slot that is free, or that it is writing. */
#define LABEL_FREE "_empty"
/* Each data partition searches all others: UL_GPT_ENTRIES_MAX of them would take too long, and nobody has so many. */
#define PER_ROLE_MAX 64

static const char WHAT[] = "looking for store images";

enum role { DATA, HASH, SIG, N_ROLES };

struct candidate {
	const struct ul_partition *p;
	/* A signature partition: the root hash in its JSON, in hex; "": it has none; NULL: not read yet. */
	char *root_hash;
};

struct disk {
	const char *path;
	const char *dev_dir;
	int fd;
	dev_t devno; /* 0: an image file */
	struct ul_gpt gpt;
	struct candidate by_role[N_ROLES][PER_ROLE_MAX];
	size_t n[N_ROLES];
};

static void disk_close(struct disk *d)
{
	for (size_t i = 0; i < d->n[SIG]; i++)
		free(d->by_role[SIG][i].root_hash);
	ul_gpt_free(&d->gpt);
	if (d->fd >= 0)
		close(d->fd);
}

static int collect(struct disk *d, const struct ul_partition_types *types, struct ul_error *err)
{
	const char *const wanted[N_ROLES] = {types->data, types->verity, types->verity_sig};

	for (size_t i = 0; i < d->gpt.n; i++) {
		const struct ul_partition *p = &d->gpt.partitions[i];

		if (strcmp(p->label, LABEL_FREE) == 0)
			continue;
		for (int role = 0; role < N_ROLES; role++) {
			if (strcmp(p->type, wanted[role]) != 0)
				continue;
			if (d->n[role] == PER_ROLE_MAX)
				return ul_error_set(err, UL_E_PARTITIONS, WHAT, d->path, NULL,
						    "more than %d partitions have type %s", PER_ROLE_MAX, wanted[role]);
			d->by_role[role][d->n[role]++].p = p;
		}
	}
	return 0;
}

/* The root hash that a signature partition names, from the disk at the first call; "": none. */
static const char *named_root_hash(struct disk *d, struct candidate *sig)
{
	struct ul_signature_blob blob = {0};
	ul_autofree uint8_t *bytes = NULL;
	size_t len = sig->p->size < UL_SIGNATURE_PARTITION_MAX ? (size_t)sig->p->size : UL_SIGNATURE_PARTITION_MAX;

	if (sig->root_hash)
		return sig->root_hash;
	bytes = malloc(len);
	if (bytes && ul_pread_full(d->fd, bytes, len, sig->p->offset) == 0 &&
	    ul_signature_parse(bytes, len, &blob, NULL) == 0) {
		sig->root_hash = ul_steal(blob.root_hash);
		ul_signature_free(&blob);
	} else {
		sig->root_hash = strdup("");
	}
	return sig->root_hash ? sig->root_hash : "";
}

/* hash NULL: only data's UUID is looked at. */
static bool root_hash_fits(const char *root_hash, const struct ul_partition *data, const struct ul_partition *hash)
{
	uint8_t bytes[UL_ROOT_HASH_MAX], data_uuid[16], hash_uuid[16];
	size_t len = strlen(root_hash) / 2;

	return len <= sizeof(bytes) && ul_hex_decode(root_hash, 2 * len, bytes, len) &&
	       ul_image_partition_uuids(bytes, len, data_uuid, hash_uuid) == 0 && ul_uuid_is(data->uuid, data_uuid) &&
	       (!hash || ul_uuid_is(hash->uuid, hash_uuid));
}

static const struct ul_partition *same_label(const struct disk *d, enum role role, const struct ul_partition *data)
{
	const struct ul_partition *found = NULL;

	if (!data->label[0])
		return NULL;
	for (size_t i = 0; i < d->n[DATA]; i++)
		if (d->by_role[DATA][i].p != data && strcmp(d->by_role[DATA][i].p->label, data->label) == 0)
			return NULL;
	for (size_t i = 0; i < d->n[role]; i++) {
		if (strcmp(d->by_role[role][i].p->label, data->label) != 0)
			continue;
		if (found)
			return NULL;
		found = d->by_role[role][i].p;
	}
	return found;
}

/* The signature partition whose root hash is that of data (and of hash, unless NULL). */
static const struct ul_partition *sig_by_root_hash(struct disk *d, const struct ul_partition *data,
						   const struct ul_partition *hash, const char **ret_root_hash)
{
	for (size_t i = 0; i < d->n[SIG]; i++) {
		const char *root_hash = named_root_hash(d, &d->by_role[SIG][i]);

		if (!root_hash_fits(root_hash, data, hash))
			continue;
		*ret_root_hash = root_hash;
		return d->by_role[SIG][i].p;
	}
	return NULL;
}

static const struct ul_partition *find_hash(struct disk *d, const struct ul_partition *data)
{
	const struct ul_partition *found;
	const char *root_hash;

	if (d->n[DATA] == 1 && d->n[HASH] == 1)
		return d->by_role[HASH][0].p;
	found = same_label(d, HASH, data);
	if (found || !sig_by_root_hash(d, data, NULL, &root_hash))
		return found;
	for (size_t i = 0; i < d->n[HASH]; i++)
		if (root_hash_fits(root_hash, data, d->by_role[HASH][i].p))
			return d->by_role[HASH][i].p;
	return NULL;
}

static const struct ul_partition *find_sig(struct disk *d, const struct ul_partition *data,
					   const struct ul_partition *hash)
{
	const struct ul_partition *found;
	const char *root_hash;

	if (d->n[DATA] == 1 && d->n[SIG] == 1)
		return d->by_role[SIG][0].p;
	found = same_label(d, SIG, data);
	return found ? found : sig_by_root_hash(d, data, hash, &root_hash);
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

static int add_slot(struct disk *d, const struct ul_partition *data, const struct ul_partition *hash,
		    struct ul_slot_list *list, struct ul_error *err)
{
	const struct ul_partition *sig = find_sig(d, data, hash);
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
			 struct ul_slot_list *list, struct ul_error *err)
{
	UL_CLEANUP(disk_close) struct disk d = {.path = disk, .dev_dir = dev_dir, .fd = -1};
	size_t before = list->n;
	int r = disk_open(&d, err);

	if (r == 0)
		r = collect(&d, types, err);
	for (size_t i = 0; r == 0 && i < d.n[DATA]; i++) {
		const struct ul_partition *data = d.by_role[DATA][i].p;
		const struct ul_partition *hash = find_hash(&d, data);

		if (hash)
			r = add_slot(&d, data, hash, list, err);
	}
	/* All slots of a disk or none: a caller that waits for devices asks again. */
	while (r < 0 && list->n > before)
		ul_slots_remove(list, list->n - 1);
	return r;
}

int ul_slots_probe(const char *disk, const char *dev_dir, const char *designator, struct ul_slot_list *list,
		   struct ul_error *err)
{
	const struct ul_partition_types *types = ul_partition_types_find(NULL, designator);

	if (!types)
		return ul_error_set(err, UL_E_CONFIG, WHAT, designator, "Use usr or root.",
				    "no partition type is known for it on this architecture");
	return ul_slots_probe_types(disk, dev_dir, types, list, err);
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
