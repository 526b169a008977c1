/*
 * Verifying a store image offline, all of it: what `underlay image verify` does. The trust decision is the
 * boot's own (ul_seal_decide); dm-verity's part, which the boot leaves to the kernel, is done here for every
 * block.
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
	struct ul_seal_policy policy;
	unsigned int threads; /* 0: as many as there are processors */
	bool seal_only;       /* leave the content out: needs no root */
	bool contents;        /* hash every store path's NAR too */
	struct ul_progress *progress;
	/* Called for each step that is through, in order: "partition table", "both copies agree". */
	void (*found)(void *user, enum ul_image_finding kind, const char *step, const char *text);
	void *user;
};

struct ul_image_check_result {
	struct ul_seal seal; /* of the (last) slot; free with ul_seal_free */
	struct ul_content_result content;
};

/*
 * Check image (a file or a disk; every slot of it). The first bad thing ends it:
 *
 *   partition table     -UL_E_PARTITIONS   either copy damaged, copies differ, overlap, truncated, no slot
 *   signature           what ul_seal_decide says
 *   partition UUIDs     -UL_E_ROOT_HASH    not the root hash's: a signature of another image
 *   hash tree           -UL_E_CORRUPT      a data block or a block of the tree
 *   FEC                 -UL_E_CORRUPT      parity that is not the data's; where the image has any
 *   content             what ul_content_check says; -UL_E_SYSTEM without root
 *
 * A superblock that differs from the descriptor, a label that does not say name and version, are notes.
 */
int ul_image_check(const char *image, const struct ul_image_check_options *options, struct ul_image_check_result *ret,
		   struct ul_error *err);
