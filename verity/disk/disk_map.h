/*
 * What lies where on a disk, as it says of itself; nothing is verified. For `underlay disk show`.
 */
#pragma once

#include "verity/locate/image_view.h"
#include "verity/trial/record.h"

enum ul_disk_part_kind {
	UL_DISK_ESP,
	UL_DISK_SLOT,   /* a data partition with its hash and signature partitions: an image, or room for one */
	UL_DISK_TRIALS, /* what became of the images that were started: verity/trial/store.h */
	UL_DISK_UPPER,  /* of the type that --upper-size makes: /var's, of the Discoverable Partitions Specification */
	UL_DISK_OTHER,
	UL_DISK_FREE, /* no partition; number 0 */
};

struct ul_disk_part {
	enum ul_disk_part_kind kind;
	unsigned int number;   /* of the partition, of a slot its data's */
	uint64_t offset, size; /* bytes; of a slot the data's */
	uint64_t end;          /* bytes: of a slot that of its last partition, where they lie together */
	char label[UL_GPT_LABEL_SIZE];
	char content[32];                 /* as libblkid names it, unless it is a slot; "": nothing that it knows */
	const struct ul_slot_view *image; /* of a slot: what is in it; NULL: it is empty, or has no hash partition */
	uint64_t used;                    /* bytes of a slot's data that the descriptor says; 0: it is not known */
	bool out_of_use;                  /* the flag "no auto": the boot passes over it */
	bool newest;                      /* of the images of its name and types */
	bool first;                       /* of these the one that the boot tries first */
	const struct ul_trial *trial;     /* what the disk's record knows of the image; NULL: nothing */
};

struct ul_disk_map {
	struct ul_image_view view;
	bool several_types;                     /* of images: for several machines, or designators */
	UL_VECTOR_MEMBERS(struct ul_disk_part); /* in the order of offsets */
	struct ul_trial_record record;          /* of trials; empty where the disk has none */
};

/* disk: a file or a block device. As ul_image_view. *ret is to be freed after success alone. */
int ul_disk_map(const char *disk, struct ul_disk_map *ret, struct ul_error *err);
void ul_disk_map_free(struct ul_disk_map *map);
