/* The one store image of a file or disk, as what is copied from it needs it. Nothing of it is verified. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "verity/format/partition_types.h"
#include "verity/locate/image_view.h"

struct ul_source_image {
	const char *path; /* borrowed */
	struct ul_image_view view;
	const struct ul_slot *slot;             /* of the view */
	const struct ul_partition_types *types; /* of its partitions */
	struct ul_descriptor d;
	int fd;
	uint64_t size;                 /* bytes, of the whole file or disk */
	uint64_t data_size, hash_size; /* bytes, of what the descriptor says is in the two partitions */
	char label[2 * UL_NAME_SIZE];  /* NAME_VERSION, which a partition's label has room for */
	bool is_signed;                /* there is a signature */
};

/*
 * *ret is to be closed in any case. what: "building the disk". -UL_E_NO_IMAGE, -UL_E_PARTITIONS: it has no image, or
 * several; -UL_E_INPUT, -UL_E_DESCRIPTOR: it is not one that `underlay image build` made; -UL_E_SYSTEM.
 */
int ul_source_image_open(const char *path, const char *what, struct ul_source_image *ret, struct ul_error *err);

/* Which image of a disk that has several. */
struct ul_source_pick {
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len;
	const char *device; /* its data partition, where one image lies in two slots; NULL: either */
};

/* As ul_source_image_open; pick NULL: there must be one. -UL_E_NO_IMAGE, too: it has none with that root hash. */
int ul_source_image_open_one(const char *path, const struct ul_source_pick *pick, const char *what,
			     struct ul_source_image *ret, struct ul_error *err);

/* -UL_E_INPUT: the UKI is of another architecture, and its boot would look for other partitions. */
int ul_source_image_check_uki(const struct ul_source_image *image, const char *what, const char *uki,
			      const char *architecture, struct ul_error *err);

void ul_source_image_close(struct ul_source_image *image);
