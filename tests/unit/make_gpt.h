/* A GPT made by hand in memory, so that every field can be made wrong. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GPT_SECTORS 4096 /* of 512 bytes: a disk of 2 MiB */

struct gpt_part {
	const char *type, *uuid; /* UUID texts */
	const char *label;       /* ASCII */
	uint64_t first, last;    /* LBA, inclusive; usable are 34 to GPT_SECTORS - 34 */
};

/* Fill disk (GPT_SECTORS * 512 bytes) with protective MBR and both copies of the table. */
void make_gpt(uint8_t *disk, const struct gpt_part *parts, size_t n);

/* Compute a header's checksums anew after a change; lba 1 or GPT_SECTORS - 1. */
void seal_gpt_header(uint8_t *disk, uint64_t lba);

/* A memfd with these bytes; *ret_path is its path in /proc, good while the descriptor is open. */
int make_memfd(const void *data, size_t len, char ret_path[64]);
