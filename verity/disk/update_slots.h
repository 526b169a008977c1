/*
 * The slots of a disk as an update sees them: what is in each, whether it would be started, and which one may be
 * written. For the last see ul_update_choose; it is pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/vector.h"
#include "verity/format/gpt.h"
#include "verity/format/partition_types.h"
#include "verity/lower/judge.h"
#include "verity/trial/decide.h"

enum ul_update_content {
	UL_UPDATE_FREE,    /* labelled "_empty" */
	UL_UPDATE_IN_WORK, /* the same, and an interrupted update with this very image left it */
	UL_UPDATE_IMAGE,   /* anything else */
};

struct ul_update_slot {
	struct ul_partition part[3]; /* data, hash, signature, as enum ul_slot_role counts */
	enum ul_update_content content;
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE]; /* signed ones where `refused` is 0, else the label's */
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len;    /* bytes; 0: it would not be started */
	struct ul_error refused; /* why not; code 0: it would be */
	bool running;
	enum ul_standing standing; /* by the record of trials */
};

struct ul_update_slots {
	UL_VECTOR_MEMBERS(struct ul_update_slot); /* by the place of their data */
	struct ul_gpt gpt;
	struct ul_trial_record record; /* of trials; empty where the machine keeps none */
};

/* What is looked for. */
struct ul_update_query {
	const char *disk;
	const struct ul_partition_types *types; /* of the new image */
	const struct ul_requirements *demands;  /* of any image of this disk; the name does not count */
	const struct ul_descriptor *d;          /* of the new image */
	const char *running;                    /* root hash in hex of what runs from this disk; NULL: nothing does */
	const char *efivars; /* where efivarfs is mounted, for a disk without a record of trials; NULL: not there */
};

/* UUIDs of a slot's three partitions while this image is written to it: no other image's, and nobody looks for them. */
int ul_update_work_uuid(const struct ul_descriptor *d, unsigned int role, uint8_t ret[16]);

/*
 * Slots that lack one of their partitions, or have the flag "no auto", are left out. -UL_E_PARTITIONS: no table, or a
 * damaged one; -UL_E_SYSTEM. *ret is to be freed after success alone.
 */
int ul_update_slots(const struct ul_update_query *q, struct ul_update_slots *ret, struct ul_error *err);
void ul_update_slots_free(struct ul_update_slots *slots);

struct ul_update_wish {
	const struct ul_descriptor *d; /* of the new image */
	const char *disk;
	uint64_t data_size, hash_size; /* bytes that it needs */
	unsigned int number;           /* of the data partition of the slot that is wanted; 0: any */
	bool allow_older;
};

/*
 * The slot to write: the one that was begun; else a free one; else one that would not be started, or that had its tries
 * in vain, the oldest; else the oldest image of the same name, as long as another one would be started. Never the one
 * that runs, nor the only one that is known to be good, nor one that is too small, nor another name's, unless its
 * number is wished for. 1: *ret is its index; 0: the disk has this image, at *ret, and nothing is to be done.
 * -UL_E_INPUT, with the numbers: none may be written, the image is not newer, or it was tried here in vain.
 */
int ul_update_choose(const struct ul_update_slots *slots, const struct ul_update_wish *wish, size_t *ret,
		     struct ul_error *err);
