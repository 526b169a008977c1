/* One build: what its steps share. build.c runs them in order; each is in the file that the comment names. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "dbgen/manifest/root_path.h"
#include "verity/format/descriptor.h"
#include "verity/format/image_layout.h"
#include "verity/format/partition_types.h"
#include "verity/image/build.h"
#include "verity/image/fs_image.h"
#include "verity/image/staging_tree.h"
#include "verity/image/work_dir.h"

struct ul_image_job {
	struct ul_manifest *m;
	struct ul_image_options o; /* with the defaults filled in */
	const struct ul_partition_types *types;
	struct ul_fs_tool tool;

	struct ul_manifest
		*with_root; /* the caller's manifest with its root path, which m is then; NULL: it needs none */
	struct ul_buffer root_bytes;
	char root[UL_BASE_NAME_MAX +
		  1]; /* base name of the path whose closure the manifest is; "": there are no paths */

	uint8_t manifest_hash[32];
	char **names; /* base names of the manifest's paths that come from the store: n_names of them */
	size_t n_names;
	char *name_bytes;
	uint64_t nar_size; /* bytes, sum */

	struct ul_work_dir work;
	char *tree, *image; /* in it, absolute */

	struct ul_staging *staging;
	bool scanned;     /* the staging knows what is not canonical */
	uint64_t fs_size; /* bytes */
	int fs_fd; /* OUTPUT.tmp/filesystem, where the filesystem lies until it is hashed; -1: it is in the image */
	int image_fd;
	struct ul_image_layout layout;
	struct ul_descriptor d;
};

/* -UL_E_SYSTEM "interrupted" where the caller asked to stop; and that error. */
int ul_image_check_cancelled(const struct ul_image_job *job, struct ul_error *err);
int ul_image_interrupted(const struct ul_image_job *job, struct ul_error *err);

/* job.c. A file of the tree, read-only for all. 0 or -errno. */
int ul_image_write_file(int tree_fd, const char *path, const void *data, size_t len);

/* The image's identity, from which its salt and UUIDs are derived. */
#define UL_IMAGE_SEED_SIZE (32 + 2 * UL_NAME_SIZE)
void ul_image_seed(const struct ul_image_job *job, uint8_t out[UL_IMAGE_SEED_SIZE]);

/* The one path of the image that no store holds: its file is written here. */
static inline bool ul_image_is_made(const struct ul_image_job *job, const char *base)
{
	return job->with_root && !strcmp(base, job->root);
}

/* root.c. After: m has a root path, whose name is job->root; job->manifest_hash is m's. */
int ul_image_add_root(struct ul_image_job *job, struct ul_error *err);
/* The root path's file in the tree's store, and the list of the collector's roots, which is its name. */
int ul_image_write_root(const struct ul_image_job *job, int tree_fd, struct ul_error *err);

/* tree.c. Before: job->work is made. After: job->tree is what the maker shall see, but for mounts. */
int ul_image_list_paths(struct ul_image_job *job, struct ul_error *err);
/* What is costly to lay out is looked through first; else ul_image_make_filesystem does that beside its work. */
int ul_image_stage(struct ul_image_job *job, struct ul_error *err);
int ul_image_lay_out_tree(struct ul_image_job *job, struct ul_error *err);
int ul_image_write_database(struct ul_image_job *job, struct ul_error *err);

/*
 * fs.c. After: the filesystem, job->fs_size bytes, lies in job->image at UL_IMAGE_ALIGN, or, where its maker leaves no
 * room before it and the disk's filesystem does not share blocks, in job->fs_fd.
 */
int ul_image_make_filesystem(struct ul_image_job *job, struct ul_error *err);
/* Give nix/store its group, where the maker could not. */
int ul_image_set_owner(struct ul_image_job *job, struct ul_error *err);
