/*
 * Where things lie on a disk that boots by itself: pure arithmetic, no I/O.
 *
 *     0                 protective MBR, primary GPT
 *     1 MiB             esp        FAT: what the firmware starts
 *     then, for each slot, three partitions:
 *                       data       room for a store image's filesystem
 *                       verity     room for the superblock, the hash tree and the FEC area of that much data
 *                       verity-sig UL_SIG_PARTITION_SIZE, of the MiB that it has to itself
 *     then              trials     UL_DISK_TRIALS_SIZE: the record of images that were tried (verity/trial)
 *     then              upper      the rest, or as much as was asked for; may be absent
 *     the last MiB      backup GPT
 *
 * Every partition starts on a whole MiB, so that it does on a disk of any sector size. That of an empty slot is called
 * "_empty", which systemd-sysupdate and the boot (verity/open/slots.h) take for free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "verity/format/descriptor.h"

#define UL_DISK_SLOTS_MAX 8

/* Types of two of the partitions that are no slot's: Discoverable Partitions Specification (UAPI.2). */
#define UL_DISK_TYPE_ESP   "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define UL_DISK_TYPE_UPPER "4d21b016-b534-45c2-a9fb-5c16e091fd2d" /* /var, which systemd, too, may grow */

struct ul_disk_range {
	uint64_t offset, size; /* bytes; size 0: it is not there */
};

struct ul_disk_slot_layout {
	struct ul_disk_range data, hash, sig;
};

/* What is asked for; bytes. */
struct ul_disk_request {
	const struct ul_descriptor *d; /* of the first slot's image: its geometry */
	uint64_t data_size, hash_size; /* of the first slot's image: bytes of its two partitions */
	unsigned int slots;            /* 0 (the image is a file on the ESP) to UL_DISK_SLOTS_MAX */
	uint64_t slot_size;            /* room for data in each slot; 0: half as much again as the image has */
	uint64_t esp_size;             /* not 0 */
	uint64_t upper_size;           /* 0: what size leaves; where that is 0 too, UL_DISK_UPPER_SIZE */
	bool no_upper;
	uint64_t size;      /* of the disk; 0, where it is no device: what the parts need */
	const char *device; /* the disk, whose size is what it is; NULL: a file that may be made larger */
};

#define UL_DISK_UPPER_SIZE  (256ull << 20)
#define UL_DISK_TRIALS_SIZE (1ull << 20)

struct ul_disk_layout {
	struct ul_disk_range esp, trials, upper;
	struct ul_disk_slot_layout slot[UL_DISK_SLOTS_MAX];
	unsigned int slots;
	uint64_t size;
};

/*
 * -UL_E_INPUT, with the numbers: the image does not fit a slot of that size; the parts do not fit the disk; size is no
 * multiple of a MiB.
 */
int ul_disk_layout(const struct ul_disk_request *q, struct ul_disk_layout *ret, struct ul_error *err);
