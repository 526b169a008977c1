/*
 * What lies where in a store image: from a block that the kernel calls corrupt, or any byte, to the store path and
 * file that it belongs to. Reads unverified metadata by bounded parsers; the answer is for people, and
 * nothing is decided by it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/vector.h"
#include "verity/format/descriptor.h"
#include "verity/open/slots.h"

enum ul_place_kind {
	UL_PLACE_FILE,       /* contents: bytes [start, end) of the file `path` */
	UL_PLACE_DIRECTORY,  /* entries of the directory `path` */
	UL_PLACE_INODE,      /* of the file `path` */
	UL_PLACE_SUPERBLOCK, /* of the filesystem */
	UL_PLACE_TABLE,      /* of the filesystem: `path` says which */
	UL_PLACE_UNUSED,     /* no file's: free, or in a form that cannot be told */
	UL_PLACE_UNKNOWN,    /* the filesystem's own map is damaged, or not known */
	UL_PLACE_VERITY,     /* dm-verity's superblock, which nothing that has a descriptor reads */
	UL_PLACE_TREE,       /* hash tree: covers the data blocks [start, end) */
	UL_PLACE_FEC,        /* parity */
	UL_PLACE_SIGNATURE,  /* signature partition */
	UL_PLACE_OUTSIDE,    /* of the three partitions: partition table, gaps, other partitions */
};

struct ul_place {
	uint64_t number; /* what was asked for: a block, or a byte */
	enum ul_place_kind kind;
	char *path;          /* owned; below the lower's root, "nix/store/..."; NULL: none */
	uint64_t start, end; /* see above */
	unsigned int level;  /* of the hash tree, 0 next to the data */
};

struct ul_places {
	UL_VECTOR_MEMBERS(struct ul_place); /* in the order of the numbers asked for, some with several rows */
	uint64_t left_out;                  /* rows beyond UL_PLACES_PER_BLOCK: a block of metadata serves many files */
};

#define UL_PLACES_PER_BLOCK 16
#define UL_PLACES_MAX       (1024u * 1024) /* blocks that may be asked for at once */

/*
 * The places of data blocks: numbers in the order that is wanted, block_size as in the descriptor. data: the
 * filesystem, in an image or as a device. Every number gets a row. -UL_E_INPUT: a number behind the end.
 * -UL_E_FILESYSTEM: no filesystem that is known, or it is damaged where it is read; -UL_E_SYSTEM (a corrupt block
 * of a dm-verity device, too). Then *ret still has what was found.
 */
int ul_locate_blocks(const struct ul_extent *data, uint32_t block_size, const uint64_t *numbers, size_t n,
		     struct ul_places *ret, struct ul_error *err);

/* The place of a block of the hash partition, numbered from the partition's start as the kernel does. */
int ul_locate_hash_block(const struct ul_descriptor *d, uint64_t number, struct ul_places *ret, struct ul_error *err);

/* The place of a byte of the image file or disk: as one of the above. */
int ul_locate_byte(const struct ul_slot *slot, const struct ul_descriptor *d, uint64_t byte, struct ul_places *ret,
		   struct ul_error *err);

void ul_places_free(struct ul_places *places);

/*
 * Say one in a sentence: "/nix/store/HASH-NAME: bin/tool, bytes 4096 to 8191", "the hash tree, level 0: covers
 * data blocks 0 to 127". Safe to print. Returns buf.
 */
char *ul_place_text(const struct ul_place *place, char *buf, size_t size);

/* The store path's length in a place's path, or 0: "nix/store/HASH-NAME" of "nix/store/HASH-NAME/bin/tool". */
size_t ul_place_store_path(const struct ul_place *place);

/* "file", "hash tree": the kind, for programs. */
const char *ul_place_kind_name(enum ul_place_kind kind);
