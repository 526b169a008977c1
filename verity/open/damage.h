/*
 * What the kernel says of damage to an active image: dm-verity's own status, and its lines in the kernel's log, which
 * alone name the blocks. The log forgets, and dm-verity limits its lines: what is read here is a part.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define UL_DAMAGE_BLOCKS 64

struct ul_damage_blocks {
	uint64_t numbers[UL_DAMAGE_BLOCKS]; /* each once, in the order of the log */
	size_t n;
	bool more;
};

struct ul_damage {
	bool corrupt;      /* the mapping's status: a block was found that was not mended */
	bool fec;          /* it has error correction */
	uint64_t mended;   /* times that a block was mended */
	bool mended_exact; /* by the kernel's own count; else at least so many, by its log */
	bool log_read;
	struct ul_damage_blocks data, hash; /* corrupt; hash: numbered from the hash partition's start */
	char device[32];                    /* "254:1": the data device, as the log names it */
	uint64_t hash_start;                /* bytes, as the measures below, from the table: to locate a hash block */
	uint32_t data_block_size, hash_block_size;
	uint64_t data_blocks;
	char hash_name[16];
};

/*
 * Ask about the mapping of that name, and read the log at kmsg ("/dev/kmsg"; root's to read). 0 also where the log
 * cannot be read (log_read). -UL_E_VERITY: dm-verity has no such mapping.
 */
int ul_damage_read(const char *mapping, const char *kmsg, struct ul_damage *ret, struct ul_error *err);

/* Only the log, for damage->device. false: it cannot be read. */
bool ul_damage_read_log(const char *kmsg, struct ul_damage *damage);

/* Take one record of the log, "6,123,4567,-;device-mapper: verity: 254:1: data block 5 is corrupted", into account. */
void ul_damage_take(struct ul_damage *damage, const char *record);

/* The table's words that are wanted. false: it is not dm-verity's. */
bool ul_damage_take_table(struct ul_damage *damage, const char *table);
