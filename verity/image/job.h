/* One build: what its steps share. build.c runs them in order; each is in the file that the comment names. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "verity/format/descriptor.h"
#include "verity/format/image_layout.h"
#include "verity/format/partition_types.h"
#include "verity/image/build.h"
#include "verity/image/fs_image.h"
#include "verity/image/staging_tree.h"

struct ul_image_job {
	struct ul_manifest *m;
	struct ul_image_options o; /* with the defaults filled in */
	const struct ul_partition_types *types;
	struct ul_fs_tool tool;

	uint8_t manifest_hash[32];
	char **names; /* base names of the manifest's paths */
	char *name_bytes;
	uint64_t nar_size; /* bytes, sum */

	/* OUTPUT.tmp and what is in it, absolute. */
	char *output, *work, *tree, *image;
	int work_fd; /* locked while we work in it */

	struct ul_staging *staging;
	uint64_t fs_size; /* bytes */
	int image_fd;
	struct ul_image_layout layout;
	struct ul_descriptor d;
};

/* -UL_E_SYSTEM "interrupted" where the caller asked to stop. */
int ul_image_check_cancelled(const struct ul_image_job *job, struct ul_error *err);

/* The image's identity, from which its salt and UUIDs are derived. */
#define UL_IMAGE_SEED_SIZE (32 + 2 * UL_NAME_SIZE)
void ul_image_seed(const struct ul_image_job *job, uint8_t out[UL_IMAGE_SEED_SIZE]);

/* tree.c. Before: job->work exists. After: job->tree is what the maker shall see, but for mounts. */
int ul_image_list_paths(struct ul_image_job *job, struct ul_error *err);
int ul_image_scan(struct ul_image_job *job, struct ul_error *err);
int ul_image_lay_out_tree(struct ul_image_job *job, struct ul_error *err);
int ul_image_write_database(struct ul_image_job *job, struct ul_error *err);

/* fs.c. After: the filesystem lies in job->image at UL_IMAGE_ALIGN, job->fs_size bytes long. */
int ul_image_make_filesystem(struct ul_image_job *job, struct ul_error *err);
/* Give nix/store its group, where the maker could not. */
int ul_image_set_owner(struct ul_image_job *job, struct ul_error *err);
