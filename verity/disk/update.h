/*
 * Another image into a slot of a disk, which boots by what is in its other slots meanwhile.
 *
 *   1. everything is checked that can be, before the first byte is written
 *   2. the slot loses its name: both copies of the table call it "_empty", with UUIDs that say which image is coming
 *   3. hash tree, data, signature: each block is compared with the signed root hash before it is written, and read back
 *   4. the disk's own cache is emptied; only then the slot gets the image's name and UUIDs, in both copies of the table
 *   5. the UKI, where one is given, gets to its place by a rename
 *
 * Of a stream the signature comes last: its blocks are written as they come, and all is checked on the disk before 4.
 *
 * Whatever interrupts it, the slot is either what it was, or not there for anybody, or the new image. The same image
 * again goes on where it was: what the slot has already is not written twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/progress.h"
#include "verity/disk/update_slots.h"
#include "verity/disk/update_uki.h"

struct ul_update_options {
	const char *disk;  /* a block device, or a file */
	const char *image; /* "-": standard input, from which it is taken as it comes */
	const char
		*seal; /* with that: a file with the image's signature partition, by which it is judged before; NULL */
	const struct ul_requirements *demands; /* the image's, and those by which the others on the disk are judged */
	const char *designator;                /* of the partitions that the machine boots from; NULL: any */
	const char *running;                   /* root hash in hex of what runs from this disk; NULL: nothing does */
	const char *efivars;                   /* see struct ul_update_query */
	unsigned int slot;                     /* number of the data partition to write; 0: see ul_update_choose */
	bool allow_older;
	struct ul_update_uki_options uki; /* .uki NULL: there is none */
	bool dry_run;                     /* check and choose, write nothing */
	unsigned int threads;             /* 0: one for each processor */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

struct ul_update_result {
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE]; /* of the image */
	unsigned int slot;                              /* number of its data partition */
	char before[2 * UL_NAME_SIZE + 16];             /* what the slot held: "demo 1.0", "nothing" */
	bool present;                                   /* the disk had the image, and nothing was done */
	bool resumed;                                   /* an interrupted update went on */
	char uki_path[300];                             /* on the EFI system partition; "": none was given */
	struct ul_names removed;                        /* UKIs of images that are gone; to be freed */
	uint64_t written, kept;                         /* bytes; kept: they were there already */
};

/*
 * What the image or the choice of a slot is refused for (ul_judge_seal, ul_source_image_open, ul_update_choose) leaves
 * the disk as it was. -UL_E_DEVICE: the disk, or the slot, is in use; -UL_E_CORRUPT: a block of the image does not
 * match, or the disk gave back something else: the slot then has no name. -UL_E_SYSTEM. *ret is to be freed in any
 * case.
 */
int ul_update(const struct ul_update_options *options, struct ul_update_result *ret, struct ul_error *err);
void ul_update_result_free(struct ul_update_result *result);
