/*
 * Tampering with a store image: the regions that it has, and the changes that an attacker with the disk can make.
 * Every case follows from the seed and its number alone, on the host (tamper.c) and in the guest (guest.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verity/open/open.h"

/* Where the bits of one flip are; the order is that of the table. */
enum tamper_region {
	TAMPER_GPT_PRIMARY, /* protective MBR, header, entries in use */
	TAMPER_GPT_BACKUP,
	TAMPER_GPT_RESEALED, /* the same of both, and the checksums are made right again */
	TAMPER_FS_SUPERBLOCK,
	TAMPER_MANIFEST,
	TAMPER_FILESYSTEM, /* all the rest of the data */
	TAMPER_VERITY_SUPERBLOCK,
	TAMPER_HASH_TREE,
	TAMPER_ROOT_SIGNATURE, /* base64 in the signature partition's JSON */
	TAMPER_DESCRIPTOR,
	TAMPER_DESCRIPTOR_SIGNATURE,
	TAMPER_JSON,    /* all of the JSON, the three above as well */
	TAMPER_PADDING, /* of the signature partition */
	TAMPER_REGIONS,
	/* Changes of another kind than a bit. */
	TAMPER_SWAP = TAMPER_REGIONS,
	TAMPER_TRUNCATE,
	TAMPER_EXTEND,
	TAMPER_SPLICE,
	TAMPER_KINDS,
};

extern const char *const tamper_names[TAMPER_KINDS];

#define TAMPER_ROOM ((size_t)1 << 20) /* bytes that an extension may add */

struct tamper_range {
	size_t at, len;
};

/* An image in memory, as it was signed. */
struct tamper_image {
	uint8_t *bytes; /* owned; len bytes */
	size_t len;
	struct tamper_range regions[TAMPER_REGIONS]; /* RESEALED: unused; len 0: it has none */
	struct tamper_range data, hash, sig;         /* the partitions */
	struct ul_descriptor d;                      /* read from its descriptor, believed */
};

/* The file, and what lies where in it. false with a message on standard error. */
bool tamper_load(const char *path, struct tamper_image *ret);

/* Take the descriptor out of the signature partition: a foreign image, whose superblock is read. */
bool tamper_make_foreign(struct tamper_image *image);

/*
 * Case number of a kind: changes copy, which holds image's bytes and has TAMPER_ROOM more. Returns the new
 * length. other: the signed image that splices come from.
 */
size_t tamper_change(enum tamper_region kind, uint64_t seed, uint64_t number, const struct tamper_image *image,
		     const struct tamper_image *other, uint8_t *copy);

/* ---- oracle.c ---- */

/* An opened image's blocks, as dm-verity reads them. */
struct tamper_served {
	uint64_t good;   /* blocks that verified, with the bytes that were signed */
	uint64_t errors; /* blocks that did not verify */
	uint64_t bad;    /* blocks that verified with other bytes: must not be */
	bool ends_good;  /* first and last verified: what activation demands */
};

struct tamper_bytes {
	const uint8_t *bytes;
	size_t len;
};

/*
 * Read every block by the decided parameters alone. data, hash: the partitions. is: the image whose data was signed for
 * this root hash.
 */
void tamper_read(const struct ul_descriptor *d, struct tamper_bytes data, struct tamper_bytes hash,
		 const struct tamper_image *is, struct tamper_served *ret);
