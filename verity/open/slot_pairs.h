/*
 * Which partitions of a disk belong together. Pure: no disk is read here.
 *
 * A data partition gets a hash partition, and the two a signature partition, by the first rule that gives one:
 *
 *   1. the root hash: the data's UUID is its first 128 bits, the hash partition's its last 128 bits (Discoverable
 *      Partitions Specification). Root hashes are known from signature partitions, and from who asks (a policy's)
 *   2. the label: both have the same (NAME_VERSION, as systemd-sysupdate and `underlay image build` label them)
 *   3. the place: the next one behind the data, before another data partition; or the only one there is
 *
 * Each rule looks behind each data partition first, up to the next one, and then everywhere: where one image lies in
 * two slots, all UUIDs and labels are there twice, and a damaged slot must not take the other one with it. Nothing
 * belongs to two slots.
 *
 * All of this is hints. A wrong pair cannot be opened: the root hash that the signature covers does not fit it.
 */
#pragma once

#include <stddef.h>

#include "verity/format/gpt.h"

/* Each data partition searches all others: of UL_GPT_ENTRIES_MAX it would take too long, and nobody has so many. */
#define UL_SLOT_PARTS_MAX 64

enum ul_slot_role { UL_SLOT_DATA, UL_SLOT_HASH, UL_SLOT_SIG, UL_SLOT_ROLES };

/* The UUIDs that a root hash gives, as text; "": it is not known. */
struct ul_slot_uuids {
	char data[37], hash[37];
};

struct ul_slot_parts {
	const struct ul_partition *data, *hash, *sig; /* hash, sig: NULL where there is none */
};

struct ul_slot_candidates {
	const struct ul_partition *part[UL_SLOT_ROLES][UL_SLOT_PARTS_MAX]; /* in the order of offsets */
	size_t n[UL_SLOT_ROLES];
	struct ul_slot_uuids named[UL_SLOT_PARTS_MAX]; /* by each signature partition */
	struct ul_slot_uuids known;                    /* by who asks */
};

/* ret: of each data partition, in their order. */
void ul_slot_pair(const struct ul_slot_candidates *c, struct ul_slot_parts ret[UL_SLOT_PARTS_MAX]);

/* The UUIDs of a root hash in hex; both are empty where the text is not one. root_hash may be NULL. */
struct ul_slot_uuids ul_slot_uuids_of(const char *root_hash);
