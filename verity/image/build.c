#include "verity/image/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/workers.h"
#include "dbgen/store/store_path.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/format/version.h"
#include "verity/image/fec.h"
#include "verity/image/gpt_write.h"
#include "verity/image/hash_tree.h"
#include "verity/image/job.h"
#include "verity/image/seal_write.h"

static const char WHAT[] = "building the image";

/* ---- step: options ---- */

static int check_names(const struct ul_image_job *job, struct ul_error *err)
{
	const struct ul_image_options *o = &job->o;
	size_t len;

	if (!o->name || !ul_image_name_valid(o->name))
		return ul_error_set(err, UL_E_USAGE, "checking the name", o->name ? o->name : "",
				    "Give 1 to 63 letters, digits and . + ~ ^ -.", "it is not a valid image name");
	if (!o->version || !ul_image_version_valid(o->version))
		return ul_error_set(err, UL_E_USAGE, "checking the version", o->version ? o->version : "",
				    "Give 1 to 63 letters, digits and . _ + ~ ^ -.", "it is not a valid image version");
	len = strlen(o->name) + 1 + strlen(o->version);
	if (len > UL_GPT_LABEL_MAX)
		return ul_error_set(err, UL_E_USAGE, "checking the version", o->version,
				    "Choose a shorter name or version.",
				    "the partitions' label NAME_VERSION has %zu characters, a "
				    "partition table has room for %u",
				    len, UL_GPT_LABEL_MAX);
	return 0;
}

/* What boots must be in the image: better said now than by the device. */
static int check_system(const struct ul_image_job *job, struct ul_error *err)
{
	static const char what[] = "checking the system";
	ul_autofree char *dir = NULL, *init = NULL;
	const char *system = job->o.system, *base;
	uint32_t number;
	struct stat st;
	int r;

	if (!system)
		return 0;
	base = ul_store_base_of(ul_manifest_store_dir(job->m), system);
	r = base ? ul_manifest_find(job->m, base, &number, err) : 0;
	if (r < 0)
		return r;
	if (r == 0)
		return ul_error_set(err, UL_E_INPUT, what, system, "Name a store path of the closure by --system.",
				    "the manifest does not list it");
	dir = ul_path_join(job->o.store, base);
	init = dir ? ul_path_join(dir, "init") : NULL;
	if (!init)
		return ul_error_nomem(err, what);
	/* A symlink may point into the store as it will be: it is not followed here. */
	if (lstat(init, &st) < 0)
		return ul_error_set(err, UL_E_INPUT, what, system, "Name the system's own path, in which `init` lies.",
				    "there is no file `init` in it: %s", strerror(errno));
	return 0;
}

static int check_options(struct ul_image_job *job, struct ul_error *err)
{
	const char *designator = job->o.designator ? job->o.designator : "usr";
	struct stat st;
	int r = check_names(job, err);

	if (r < 0)
		return r;
	job->types = ul_partition_types_find(job->o.machine, designator);
	if (!job->types)
		return ul_error_set(err, UL_E_USAGE, "choosing the partition types",
				    job->o.machine ? job->o.machine : designator, "Name a machine as uname -m does.",
				    "no partition types are known for %s on it", designator);
	if (stat(job->o.store, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "opening the store", job->o.store,
				      "Name the directory that holds the store paths by --store.", errno);
	r = ul_work_dir_check(job->o.output, job->o.replace, WHAT, err);
	if (r < 0)
		return r;
	r = ul_fs_tool_find(job->o.format, job->o.compression, &job->tool, err);
	if (r < 0)
		return r;
	return check_system(job, err);
}

/* ---- step: the place to work in ---- */

static int make_work(struct ul_image_job *job, struct ul_error *err)
{
	static const char *const ours[] = {"tree", "image", "filesystem", NULL};
	int r = ul_work_dir_make(job->o.output, ours, WHAT, &job->work, err);

	if (r < 0)
		return r;
	job->tree = ul_path_join(job->work.path, "tree");
	job->image = ul_path_join(job->work.path, "image");
	return job->tree && job->image ? 0 : ul_error_nomem(err, WHAT);
}

/* ---- steps: the sealing ---- */

static int lay_out_image(struct ul_image_job *job, struct ul_error *err)
{
	struct ul_descriptor *d = &job->d;
	uint8_t seed[UL_IMAGE_SEED_SIZE];
	uint64_t hash_size;

	snprintf(d->hash, sizeof(d->hash), "sha256");
	d->data_block_size = d->hash_block_size = UL_IMAGE_BLOCK;
	d->data_blocks = job->fs_size / UL_IMAGE_BLOCK + (job->fs_size % UL_IMAGE_BLOCK != 0);
	d->hash_start = UL_IMAGE_BLOCK; /* behind the superblock */
	snprintf(d->name, sizeof(d->name), "%s", job->o.name);
	snprintf(d->version, sizeof(d->version), "%s", job->o.version);
	d->rollback_index = job->o.rollback_index;
	memcpy(d->manifest_hash, job->manifest_hash, 32);
	d->has_manifest = 1;
	ul_image_seed(job, seed);
	d->salt_len = UL_IMAGE_SALT_SIZE;
	if (ul_image_derive("salt", seed, sizeof(seed), d->salt) < 0)
		return ul_error_nomem(err, WHAT);
	hash_size = UL_IMAGE_BLOCK + ul_hash_tree_size(d);
	d->fec_roots = job->o.fec_roots;
	d->fec_start = d->fec_roots ? hash_size : 0; /* right behind the tree */
	if (ul_image_layout(job->fs_size, hash_size + ul_fec_size(d), &job->layout) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->image, NULL, EFBIG);
	if (ftruncate(job->image_fd, (off_t)job->layout.image_size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->image, NULL, errno);
	return 0;
}

static struct ul_image_fds fds_of(const struct ul_image_job *job)
{
	return (struct ul_image_fds){job->image_fd, job->layout.data_offset, job->image_fd, job->layout.hash_offset};
}

static struct ul_work work_of(const struct ul_image_job *job)
{
	return (struct ul_work){.threads = job->o.threads, .progress = job->o.progress, .cancelled = job->o.cancelled};
}

struct hashing {
	struct ul_image_job *job;
	const uint8_t *uuid; /* the superblock's */
	struct ul_error *err;
	int r;
};

static void do_part(void *context, unsigned int i)
{
	struct hashing *h = context;
	struct ul_image_fds fds = fds_of(h->job);
	struct ul_work work = work_of(h->job);

	if (i == 0)
		h->r = ul_hash_tree_copy(&fds, h->job->fs_fd, h->uuid, &h->job->d, &work, h->err);
	else
		/* The tree has served. What is left of it clean_up removes. */
		(void)!ul_remove_tree(AT_FDCWD, h->job->tree);
}

static int write_hash_tree(struct ul_image_job *job, struct ul_error *err)
{
	uint8_t seed[UL_IMAGE_SEED_SIZE], uuid[16];
	struct hashing h = {job, uuid, err, 0};

	ul_image_seed(job, seed);
	if (ul_image_derive_uuid("superblock", seed, sizeof(seed), uuid) < 0)
		return ul_error_nomem(err, WHAT);
	ul_workers_run(2, do_part, &h);
	ul_cleanup_close(&job->fs_fd);
	job->fs_fd = -1;
	/* Who asked to stop is told that nothing is left. */
	return h.r < 0 && ul_image_check_cancelled(job, err) < 0 ? -UL_E_SYSTEM : h.r;
}

static int write_fec(struct ul_image_job *job, struct ul_error *err)
{
	struct ul_image_fds fds = fds_of(job);
	struct ul_work work = work_of(job);

	return job->d.fec_roots ? ul_fec_write(&fds, &job->d, &work, err) : 0;
}

static int write_signature(struct ul_image_job *job, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer partition = {0};
	struct ul_tbs tbs;
	int r = ul_tbs_make(&job->d, &tbs, err);

	if (r < 0)
		return r;
	r = job->o.signer ? ul_seal_sign(&tbs, job->o.signer, &partition, err) : ul_seal_draft(&tbs, &partition, err);
	ul_tbs_free(&tbs);
	if (r < 0)
		return r;
	r = ul_pwrite_full(job->image_fd, partition.data, partition.len, job->layout.sig_offset);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->image, NULL, -r) : 0;
}

static int write_partitions(struct ul_image_job *job, struct ul_error *err)
{
	const struct ul_image_layout *l = &job->layout;
	const uint8_t *root_hash = job->d.root_hash;
	size_t len = job->d.root_hash_len;
	char label[UL_GPT_LABEL_MAX + 1];
	struct ul_gpt_entry entries[3] = {
		{job->types->data, {0}, label, l->data_offset, l->data_size, true},
		{job->types->verity, {0}, label, l->hash_offset, l->hash_size, true},
		{job->types->verity_sig, {0}, label, l->sig_offset, l->sig_size, true},
	};
	struct ul_gpt_table table = {job->o.sector ? job->o.sector : 512, {0}, entries, UL_ARRAY_SIZE(entries)};

	snprintf(label, sizeof(label), "%s_%s", job->o.name, job->o.version);
	if (ul_image_partition_uuids(root_hash, len, entries[0].uuid, entries[1].uuid) < 0 ||
	    ul_image_signature_uuid(root_hash, len, entries[2].uuid) < 0 ||
	    ul_image_derive_uuid("disk", root_hash, len, table.uuid) < 0)
		return ul_error_nomem(err, WHAT);
	return ul_gpt_write(job->image_fd, job->image, &table, err);
}

static int publish(struct ul_image_job *job, struct ul_error *err)
{
	return ul_work_dir_publish(&job->work, job->image, job->o.replace, WHAT, err);
}

/* ---- the whole ---- */

/* Each step finds what the ones before it left in the job. */
static int (*const steps[])(struct ul_image_job *job, struct ul_error *err) = {
	check_options,            /* refuse what cannot work, before any work */
	make_work,                /* OUTPUT.tmp, locked */
	ul_image_add_root,        /* the manifest with one path that refers to all */
	ul_image_list_paths,      /* base names from the manifest */
	ul_image_stage,           /* how the closure comes into the tree */
	ul_image_lay_out_tree,    /* OUTPUT.tmp/tree but for the mounts */
	ul_image_write_database,  /* in it */
	ul_image_make_filesystem, /* OUTPUT.tmp/image, from 1 MiB on, or a file of its own */
	ul_image_set_owner,       /* of nix/store, where the maker could not */
	lay_out_image,            /* offsets, salt, geometry; the file has its size */
	write_hash_tree,          /* gives the root hash; the filesystem is in the image */
	write_fec,                /* over data and tree */
	write_signature,          /* or a draft */
	write_partitions,         /* the root hash gives the UUIDs */
	publish,                  /* rename to OUTPUT */
};

static void clean_up(struct ul_image_job *job)
{
	ul_cleanup_close(&job->fs_fd);
	ul_cleanup_close(&job->image_fd);
	ul_work_dir_remove(&job->work);
	ul_staging_free(job->staging);
	ul_manifest_close(job->with_root);
	ul_buffer_free(&job->root_bytes);
	free(job->names);
	free(job->name_bytes);
	free(job->tree);
	free(job->image);
}

static void fill_result(const struct ul_image_job *job, struct ul_image_result *ret)
{
	ret->size = job->layout.image_size;
	ret->data_size = job->layout.data_size;
	ret->hash_size = job->layout.hash_size;
	ret->fec_size = ul_fec_size(&job->d);
	memcpy(ret->root_hash, job->d.root_hash, sizeof(ret->root_hash));
	ret->paths = ul_manifest_n_paths(job->m);
	ul_staging_get_report(job->staging, &ret->staging);
}

int ul_image_build(struct ul_manifest *m, const struct ul_image_options *options, struct ul_image_result *ret,
		   struct ul_error *err)
{
	struct ul_image_job job = {.m = m, .o = *options, .work = {.fd = -1}, .fs_fd = -1, .image_fd = -1};
	int r = 0;

	if (!job.o.store)
		job.o.store = ul_manifest_store_dir(m);
	for (size_t i = 0; r >= 0 && i < UL_ARRAY_SIZE(steps); i++) {
		r = ul_image_check_cancelled(&job, err);
		if (r == 0)
			r = steps[i](&job, err);
	}
	if (r >= 0)
		fill_result(&job, ret);
	clean_up(&job);
	return r < 0 ? r : 0;
}
