/*
 * Verifying a store image offline, all of it: what `underlay image verify` does. Two kinds of things are bad.
 *
 *   What the boot refuses. The boot's own code says so, in the same words: verity/lower/judge.h.
 *   Damage and contradictions that the boot does not look for: a copy of the partition table, every block of the data,
 *   of the hash tree and of the parity, the manifest's hash, the rows of the database, the names layer. There the boot
 *   takes the word of whoever signed, or leaves it to dm-verity to find the block once it is read.
 *
 * Anything else that is not as it should be is a note: the boot starts such an image, and nothing is lost.
 */
#pragma once

#include <stdbool.h>

#include "common/progress.h"
#include "verity/image/lower_content.h"
#include "verity/open/open.h"

enum ul_image_finding {
	UL_IMAGE_OK,   /* checked, and right */
	UL_IMAGE_NOTE, /* not as it should be, but nothing depends on it */
};

struct ul_image_check_options {
	struct ul_requirements demands;
	const char *designator;       /* of the partition types that count; NULL: any */
	bool system_may_be_elsewhere; /* see lower_content.h */
	unsigned int threads;         /* 0: as many as there are processors */
	bool seal_only;               /* leave the content out: needs no root */
	bool contents;                /* hash every store path's NAR too */
	struct ul_progress *progress;
	/* Called for each step that is through, in order: "partition table", "both copies agree". */
	void (*found)(void *user, enum ul_image_finding kind, const char *step, const char *text);
	void *user;
};

struct ul_image_check_result {
	struct ul_seal seal; /* of the (last) slot that was checked */
	struct ul_content_result content;
};

void ul_image_check_result_free(struct ul_image_check_result *result);

/*
 * Check image (a file or a disk; every slot of it). The first bad thing ends it:
 *
 *   partition table     -UL_E_PARTITIONS   either copy damaged, copies differ, overlap, truncated, no slot
 *   name                -UL_E_NO_IMAGE     no slot's label has the name that is demanded
 *   signature           what ul_judge_seal says
 *   hash tree           -UL_E_CORRUPT      a data block or a block of the tree
 *   FEC                 -UL_E_CORRUPT      parity that is not the data's; where the image has any
 *   file system         what ul_judge_filesystem says
 *   content             what ul_content_check says; -UL_E_SYSTEM without root
 *
 * Slots of other names than the one that is demanded are passed over. A superblock that differs from the descriptor, a
 * label that does not say name and version, partition UUIDs that are not those of the root hash, an image of ours
 * without its descriptor (where none is required) or without a names layer are notes.
 */
int ul_image_check(const char *image, const struct ul_image_check_options *options, struct ul_image_check_result *ret,
		   struct ul_error *err);
