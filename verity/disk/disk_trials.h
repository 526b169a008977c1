/*
 * The images on a disk, with what the record of trials knows of each: for the commands of the running system. Nothing
 * is verified: what a slot says of itself is what the boot, too, orders by.
 */
#pragma once

#include <stdbool.h>

#include "common/vector.h"
#include "verity/format/descriptor.h"
#include "verity/trial/decide.h"
#include "verity/trial/store.h"

struct ul_disk_trial {
	unsigned int number; /* of its data partition; 0: no slot of the disk has it */
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE];
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len; /* bytes; 0: it does not say it, so that nothing can be known of it */
	bool running;
	bool next; /* the next boot tries it first, of the images of its name */
	enum ul_standing standing;
};

struct ul_disk_trials {
	UL_VECTOR_MEMBERS(struct ul_disk_trial); /* by name, newest first; what only the record knows comes last */
	struct ul_trial_store store;
};

struct ul_disk_trials_query {
	const char *disk;    /* a block device or a file; NULL: the machine's images lie in files */
	const char *record;  /* the disk that has the record; NULL: that one; "": none has */
	const char *efivars; /* where efivarfs is mounted, for a disk without a record; NULL: not there */
	const char *running; /* root hash in hex; NULL: nothing of it runs */
};

/*
 * access: as ul_trial_store_open has it. -UL_E_PARTITIONS, -UL_E_DEVICE, -UL_E_SYSTEM. A machine that keeps no record:
 * -UL_E_DEVICE, with what to do. To be closed after success alone.
 */
int ul_disk_trials_open(const struct ul_disk_trials_query *q, enum ul_trial_access access, struct ul_disk_trials *ret,
			struct ul_error *err);
void ul_disk_trials_close(struct ul_disk_trials *trials);

/* The record's entry of one; NULL: it is new. */
const struct ul_trial *ul_disk_trial_entry(const struct ul_disk_trials *trials, const struct ul_disk_trial *of);

/* What runs; NULL: nothing of it does. */
struct ul_disk_trial *ul_disk_trials_running(const struct ul_disk_trials *trials);

/*
 * Go back: to `version` of the running image's name, or where that is NULL to the newest older one that is good or has
 * tries left. What is newer than it is called bad, so that the next boot does not start it; an image that comes later
 * is tried as ever. 0: *ret is what starts next. -UL_E_INPUT: there is none such, its tries are used up, or it is the
 * newest.
 */
int ul_disk_trials_roll_back(struct ul_disk_trials *trials, const char *version, const struct ul_disk_trial **ret,
			     struct ul_error *err);

/* Make the images of that version new again. -UL_E_INPUT: nothing is known of any. */
int ul_disk_trials_forget(struct ul_disk_trials *trials, const char *version, struct ul_error *err);
