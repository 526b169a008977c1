/*
 * Writing a GUID partition table, by libfdisk. Every identifier is the caller's, so the same arguments give
 * the same bytes.
 *
 * libfdisk writes the backup whole before it writes the primary copy, each with its entries before its header (UEFI
 * specification, 5.3.2): on a descriptor that was opened with O_SYNC one of the two is whole at any moment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ul_gpt_entry {
	const char *type;      /* type UUID as text */
	uint8_t uuid[16];      /* in the order of the text */
	const char *label;     /* ASCII, at most 36 characters */
	uint64_t offset, size; /* bytes, multiples of the sector size */
	bool read_only;        /* flag bit 60: never to be mounted writable */
};

struct ul_gpt_table {
	uint32_t sector;  /* bytes of a sector of the disk that it is for: 512 or 4096 */
	uint8_t uuid[16]; /* the disk's, in the order of the text */
	const struct ul_gpt_entry *entries;
	size_t n;
};

/*
 * Write protective MBR and both copies of the table to fd, an image file of its final size; partitions are numbered
 * from 1. What lies outside the table is left as it is. Errors: -UL_E_SYSTEM.
 */
int ul_gpt_write(int fd, const char *image, const struct ul_gpt_table *table, struct ul_error *err);

/* What a partition is to be called; its place and its type stay. */
struct ul_gpt_change {
	unsigned int number; /* from 1 */
	uint8_t uuid[16];    /* in the order of the text */
	const char *label;   /* ASCII, at most 36 characters */
	bool read_only;      /* flag bit 60; the others are cleared */
};

/*
 * Write both copies of the table of fd, open for reading and writing, with these changes of partitions that it has.
 * sector: bytes, of the table that is there. -UL_E_SYSTEM; -UL_E_PARTITIONS: it does not have such a partition.
 */
int ul_gpt_change(int fd, const char *disk, uint32_t sector, const struct ul_gpt_change *changes, size_t n,
		  struct ul_error *err);
