/*
 * The GUID partition table of a disk or image file, unverified: where to look, and nothing more. libblkid
 * finds it and parses it; what libblkid leaves open is settled here: the table's size is bounded before
 * anything is allocated for it, partitions lie within the disk and do not overlap, and a table that was
 * there once but is damaged is told from a disk without one.
 *
 * When the primary copy (sector 1) is damaged, libblkid takes the backup (last sector); the Linux kernel
 * does so only with the parameter `gpt`. from_backup lets the caller explain the missing partition devices.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define UL_GPT_ENTRIES_MAX 1024 /* entries of a table that is read; usual are 128 */
#define UL_GPT_LABEL_SIZE  (36 * 3 + 1)

struct ul_partition {
	unsigned int number; /* from 1, as the kernel counts */
	uint64_t offset;     /* bytes */
	uint64_t size;       /* bytes */
	bool no_auto;        /* flag bit 63: taken out of use, or being written */
	char type[37];       /* UUIDs, lower case */
	char uuid[37];
	char label[UL_GPT_LABEL_SIZE]; /* UTF-8; as the disk has it, control characters too */
};

struct ul_gpt {
	struct ul_partition *partitions; /* owned; in order of number */
	size_t n;
	bool present;     /* false: the disk has no GPT, and n is 0 */
	bool from_backup; /* the primary copy is damaged */
	uint64_t disk_size;
	uint64_t end;         /* bytes: behind the backup, where the primary copy has it; 0: there is no primary copy */
	uint32_t sector_size; /* bytes, the table's unit */
};

/*
 * Read the table of fd (a block device or a file; a file's sectors are those that its table is for, of 512 bytes where
 * it has none). disk is for messages.
 * -UL_E_PARTITIONS: malformed, truncated, overlapping; -UL_E_SYSTEM: I/O.
 */
int ul_gpt_read(int fd, const char *disk, struct ul_gpt *ret, struct ul_error *err);
void ul_gpt_free(struct ul_gpt *gpt);

/* Whether both copies of the table are whole and say the same. 0 or -UL_E_PARTITIONS, -UL_E_SYSTEM. */
int ul_gpt_check_copies(int fd, const char *disk, struct ul_error *err);
