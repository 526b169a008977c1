/*
 * What a store image says of itself, none of it verified: for `underlay image inspect`. Everything that cannot be
 * read is told as a reason beside what can.
 */
#pragma once

#include <stdbool.h>

#include "verity/format/descriptor.h"
#include "verity/format/gpt.h"
#include "verity/format/partition_types.h"
#include "verity/format/signature.h"
#include "verity/open/slots.h"

struct ul_slot_view {
	const struct ul_slot *slot;             /* of the view's list */
	const struct ul_partition_types *types; /* the row of its data partition; architecture, designator: the row's */
	const char *architecture, *designator;
	struct ul_signature_blob blob; /* where no_signature.code is 0 */
	struct ul_error no_signature;
	struct ul_descriptor descriptor; /* where no_descriptor is empty */
	char no_descriptor[320];
	struct ul_descriptor superblock; /* where no_superblock is empty */
	char no_superblock[320];
	char filesystem[32]; /* as libblkid names it; "": unknown */
};

struct ul_image_view {
	struct ul_gpt gpt;
	struct ul_slot_list slots;
	struct ul_slot_view *views; /* slots.n of them */
	bool copies_equal;          /* both copies of the GPT are whole and equal */
	struct ul_error copies;     /* else why not */
};

/* image: a file or a whole disk. -UL_E_PARTITIONS where no table can be read; -UL_E_DEVICE, -UL_E_SYSTEM. */
int ul_image_view(const char *image, struct ul_image_view *ret, struct ul_error *err);
void ul_image_view_free(struct ul_image_view *view);

/*
 * The slots of every architecture and designator, as ranges of image even where it is a block device. root_hash: as
 * ul_slots_probe has it.
 */
int ul_image_slots(const char *image, const char *root_hash, struct ul_slot_list *ret, struct ul_error *err);

/* 0 where the list, that of image, has one slot; -UL_E_NO_IMAGE, -UL_E_PARTITIONS: none, several. todo: for several. */
int ul_image_one_slot(const struct ul_slot_list *list, const char *what, const char *image, const char *todo,
		      struct ul_error *err);

/* The filesystem in a range, as libblkid names it (only kinds that an image may have); "": none of them. */
void ul_filesystem_type(int fd, uint64_t offset, uint64_t size, char ret[32]);

/* What a range holds, of all that libblkid knows: a filesystem, a swap area, a member of an array, a LUKS volume. */
void ul_content_type(int fd, uint64_t offset, uint64_t size, char ret[32]);
