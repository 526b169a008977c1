/*
 * What the kernel's device-mapper says, through libdevmapper (libcryptsetup links it anyway): the table and
 * status of a mapping, and whether a target exists. Not to be called while a libcryptsetup context is
 * open: both set libdevmapper's one log function.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ul_dm_mapping {
	bool verity; /* one target, of type verity, from sector 0 */
	bool read_only;
	bool suspended;     /* or without a live table */
	uint64_t sectors;   /* of 512 bytes */
	char *table;        /* owned; the target's parameters */
	char status;        /* 'V' verified so far, 'C' corruption was found, 0 unknown */
	bool counted;       /* the kernel counts what its error correction mends */
	uint64_t corrected; /* where it does: blocks */
};

/* 1: *ret is filled, 0: no mapping of that name, -errno. */
int ul_dm_query(const char *name, struct ul_dm_mapping *ret);
void ul_dm_mapping_free(struct ul_dm_mapping *m);

/* Replace the table of an active dm-verity mapping, without a moment in between. 0 or -errno. */
int ul_dm_reload(const char *name, uint64_t sectors, const char *table);

/* Whether the kernel has the target (loading its module where the kernel can). false also without device-mapper. */
bool ul_dm_has_target(const char *target);
