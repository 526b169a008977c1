/*
 * Where the trials' record lies. It never needs a filesystem: nothing has to be mounted, checked or trusted before the
 * boot knows what it may start.
 *
 *   partition   the first of type UL_TRIAL_PARTITION_TYPE on the disk that has the slots, of at least
 *               UL_TRIAL_PARTITION_MIN bytes. Two copies, one block of 4096 bytes each, at its begin and 64 KiB behind
 *               it. A change is written past every cache over the older copy and read back: whenever the power goes,
 *               one of the two is whole.
 *   efi         the variable UL_TRIAL_EFI, where the disk has no such partition. It is the firmware's to keep it whole.
 *
 * What is there and is no record (torn, forged, of another format) counts as none: all images are new.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "verity/trial/record.h"

#define UL_TRIAL_PARTITION_TYPE "6d3a1c58-90e2-4b7f-8d45-c1b8e0f7a263"
#define UL_TRIAL_PARTITION_MIN  (128ull << 10)
#define UL_TRIAL_EFI            "UnderlayTrials-5f0b6a52-3d0c-4c62-9f0e-8b1de2c7a941"

#define UL_TRIAL_COPIES 2

enum ul_trial_place {
	UL_TRIAL_NOWHERE,
	UL_TRIAL_PARTITION,
	UL_TRIAL_EFI_VARIABLE,
};

struct ul_trial_store {
	enum ul_trial_place place;
	char object[160];    /* "/dev/vda, partition 5"; "the EFI variable UnderlayTrials"; for messages */
	int fd;              /* of the disk, or of the variables' directory; -1: none */
	uint64_t partition;  /* bytes from the disk's begin */
	int newest;          /* the copy that `record` is of; -1: none is whole */
	char *efivars;       /* the directory; owned */
	unsigned int broken; /* copies that hold something, and no record */
	struct ul_trial_record record;
};

/* For whom it is opened. */
enum ul_trial_access {
	UL_TRIAL_READ,
	UL_TRIAL_CHANGE, /* locked until it is closed: what is written goes with what was read */
};

/*
 * Open the record on a disk or image file. ret->place is UL_TRIAL_NOWHERE where the disk has no such partition: not a
 * failure. The lock is one of the partition's bytes (F_OFD_SETLKW): that of the whole disk (flock) is held as long as
 * an update takes. -UL_E_SYSTEM, and -UL_E_PARTITIONS where the table is broken. To be closed in every case.
 */
int ul_trial_store_open(const char *disk, enum ul_trial_access access, struct ul_trial_store *ret,
			struct ul_error *err);

/* efivars: where efivarfs is mounted; the variable in it is opened as above. Nowhere: that does not exist. */
int ul_trial_store_open_efi(const char *efivars, enum ul_trial_access access, struct ul_trial_store *ret,
			    struct ul_error *err);

/*
 * Make the store's record durable; its sequence is one more then. After 0, whatever happens, the next
 * ul_trial_store_open finds it. -UL_E_SYSTEM: as it was before, or as it is to be.
 */
int ul_trial_store_write(struct ul_trial_store *store, struct ul_error *err);

void ul_trial_store_close(struct ul_trial_store *store);
