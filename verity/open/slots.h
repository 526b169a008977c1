/*
 * Slots: the store images that a set of disks (block devices or image files) holds. What is read here is
 * not verified: partition table and labels through libblkid, bounded, and believed in nothing but where to
 * look.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/vector.h"
#include "verity/format/descriptor.h"

/* systemd-sysupdate's label of a partition that is free, or that it is writing. */
#define UL_SLOT_LABEL_FREE "_empty"

/* A range of a device or image file. */
struct ul_extent {
	char *device;    /* path of the partition's device; of the image file where it has no device */
	uint64_t offset; /* bytes: 0 for a partition's device */
	uint64_t size;   /* bytes */
};

struct ul_slot {
	char *disk;                                     /* path of the whole disk or image file */
	struct ul_extent data, hash, sig;               /* sig.device NULL: no signature partition */
	char data_uuid[37], hash_uuid[37];              /* partition UUIDs, lower case */
	char label[37 * 3];                             /* of the data partition, UTF-8: NAME_VERSION */
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE]; /* from the label; version may be empty */
	uint8_t claim[UL_ROOT_HASH_MAX];                /* ul_slot_claim: the root hash that it says it has */
	size_t claim_len;                               /* bytes; 0: not known */
};

struct ul_slot_list {
	UL_VECTOR_MEMBERS(struct ul_slot); /* each owned: ul_slot_free */
};

/*
 * Append the slots of one disk or image file: data partitions of this architecture's `designator` type, each with its
 * hash and signature partitions (verity/open/slot_pairs.h). A partition labelled "_empty" (systemd-sysupdate: free) is
 * not a slot's, nor one with the flag "no auto", by which it was taken out of use, nor a data partition without a hash
 * partition. dev_dir ("/dev") is where partition devices are looked up by their sysfs names; an image file's partitions
 * become ranges. root_hash: in hex, one that the caller knows; NULL. A disk without a GPT has 0 slots; a broken one is
 * -UL_E_PARTITIONS. While the kernel has not made a slot's devices, the result is -UL_E_DEVICE: wait for a uevent and
 * ask again. On failure the list is as it was.
 */
int ul_slots_probe(const char *disk, const char *dev_dir, const char *designator, const char *root_hash,
		   struct ul_slot_list *list, struct ul_error *err);

/*
 * ul_slots_probe for types of the caller's choice: images of another architecture. dev_dir NULL: a disk's partitions
 * become ranges of it as well.
 */
struct ul_partition_types;
int ul_slots_probe_types(const char *disk, const char *dev_dir, const struct ul_partition_types *types,
			 const char *root_hash, struct ul_slot_list *list, struct ul_error *err);

/*
 * What the slot's signature partition says its root hash is: unverified, and believed in nothing but the order in which
 * slots are tried. It stays in the slot; where it cannot be read, it stays unknown.
 */
void ul_slot_claim(struct ul_slot *slot);

/* Sort: by name, newest version first; equal ones by disk path, so that the order is always the same. */
void ul_slots_sort(struct ul_slot_list *list);
void ul_slots_free(struct ul_slot_list *list);

/* Free slot i of the list and take it out; those behind it keep their order. */
void ul_slots_remove(struct ul_slot_list *list, size_t i);

/* "demo 1.2 on /dev/vda1", for messages. UL_TITLE_SIZE bytes are enough for what a label may hold. */
#define UL_TITLE_SIZE 160
void ul_slot_title(const struct ul_slot *slot, char *buf, size_t size);

/* Free what a slot owns, and empty it. */
void ul_slot_free(struct ul_slot *slot);
