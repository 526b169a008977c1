/* The tree of a store image: the store, Nix's state, and what Underlay keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/database/db.h"
#include "dbgen/layers/names.h"
#include "dbgen/store/store_path.h"
#include "verity/format/image_info.h"
#include "verity/image/job.h"

static const char WHAT[] = "laying out the tree";
#define NIX_SCHEMA      10 /* of the database that ul_db_build writes */
#define MANIFEST_FORMAT 1

/*
 * Directories beside those on the way to the store. Nix makes what is missing of them when it opens a store, even
 * one that it was told is read-only: on a read-only filesystem that fails.
 */
static const char *const directories[] = {
	"nix",
	UL_LOWER_OWN,
	UL_LOWER_NAMES,
	UL_LOWER_STORE,
	(UL_LOWER_STORE "/.links"),
	"nix/var",
	"nix/var/nix",
	UL_LOWER_DB,
	"nix/var/nix/gcroots",
	"nix/var/nix/gcroots/auto",
	"nix/var/nix/gcroots/per-user",
	"nix/var/nix/profiles",
	"nix/var/nix/profiles/per-user",
	"nix/var/nix/temproots",
	"nix/var/nix/userpool",
	"nix/var/nix/daemon-socket",
};

static int tree_error(const struct ul_image_job *job, int errnum, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->tree, NULL, errnum);
}

static void cleanup_reader(struct ul_batch_reader **r)
{
	ul_batch_reader_free(*r);
}

/* Fill job->names and job->nar_size; the first pass of the two only measures. */
static int read_names(struct ul_image_job *job, size_t *size, struct ul_error *err)
{
	UL_CLEANUP(cleanup_reader) struct ul_batch_reader *reader = ul_batch_reader_new(job->m);
	size_t used = 0;

	if (!reader)
		return ul_error_nomem(err, "reading the manifest");
	for (uint32_t k = 0; k < ul_manifest_n_batches(job->m); k++) {
		struct ul_batch b;
		int r = ul_manifest_read_batch(reader, k, UL_COL_NAME | UL_COL_NAR, &b, err);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < b.n; i++) {
			size_t len = b.name.off[i + 1] - b.name.off[i];
			size_t start = used;
			char *at;

			used += UL_HASH_DIGITS + 1 + len + 1;
			if (!job->name_bytes)
				continue;
			at = job->name_bytes + start;
			ul_store_digest_text(b.digest + (size_t)i * UL_DIGEST_SIZE, at);
			at[UL_HASH_DIGITS] = '-';
			memcpy(at + UL_HASH_DIGITS + 1, b.name.bytes + b.name.off[i], len);
			at[UL_HASH_DIGITS + 1 + len] = '\0';
			job->nar_size += b.nar_size[i];
			if (!ul_image_is_made(job, at))
				job->names[job->n_names++] = at;
		}
	}
	*size = used;
	return 0;
}

int ul_image_list_paths(struct ul_image_job *job, struct ul_error *err)
{
	size_t size = 0;
	int r = read_names(job, &size, err);

	if (r < 0)
		return r;
	job->name_bytes = malloc(size + 1);
	job->names = calloc((size_t)ul_manifest_n_paths(job->m) + 1, sizeof(*job->names));
	if (!job->name_bytes || !job->names)
		return ul_error_nomem(err, "reading the manifest");
	return read_names(job, &size, err);
}

int ul_image_stage(struct ul_image_job *job, struct ul_error *err)
{
	struct ul_staging_options options = {
		.store = job->o.store,
		.hard_links_allowed = job->tool.splits_hard_links,
		.lost_found_dropped = job->tool.drops_lost_found,
		.no_namespace = job->o.no_namespace,
		.progress = job->o.progress,
	};
	int r = ul_staging_new(&options, (const char *const *)job->names, job->n_names, &job->staging, err);

	if (r < 0 || ul_staging_is_cheap(job->staging))
		return r;
	job->scanned = true;
	return ul_staging_scan(job->staging, NULL, err);
}

static int make_directory(int tree_fd, const char *path)
{
	/* The mode is set apart from the making: the caller's umask must not reach the image. */
	if (mkdirat(tree_fd, path, 0755) < 0 || fchmodat(tree_fd, path, 0755, 0) < 0)
		return -errno;
	return 0;
}

static int write_info(struct ul_image_job *job, int tree_fd, struct ul_error *err)
{
	struct ul_image_info info = {
		.name = (char *)job->o.name,
		.version = (char *)job->o.version,
		.system = (char *)job->o.system,
		.store_dir = (char *)ul_manifest_store_dir(job->m),
		.paths = ul_manifest_n_paths(job->m),
		.nar_size = job->nar_size,
		.manifest_format = MANIFEST_FORMAT,
		.nix_schema = NIX_SCHEMA,
		.database = !job->o.no_database,
	};
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_image_info_format(&info, &text, err);

	if (r < 0)
		return r;
	r = ul_image_write_file(tree_fd, UL_LOWER_INFO, text.data, text.len);
	return r < 0 ? tree_error(job, -r, err) : 0;
}

/*
 * os-release(5), where it is once the image is mounted at /usr, or as the root: systemd's own initramfs goes to no root
 * without one, and its tools show it. Name and version hold nothing that would want quoting.
 */
static int write_os_release(struct ul_image_job *job, int tree_fd, struct ul_error *err)
{
	bool is_root = job->o.designator && !strcmp(job->o.designator, "root");
	const char *path = is_root ? "usr/lib/os-release" : "lib/os-release";
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_buffer_printf(&text,
				 "ID=underlay\nNAME=\"A sealed Nix store\"\n"
				 "PRETTY_NAME=\"%s %s\"\nIMAGE_ID=%s\nIMAGE_VERSION=%s\n",
				 job->o.name, job->o.version, job->o.name, job->o.version);

	if (r == 0 && is_root)
		r = make_directory(tree_fd, "usr");
	if (r == 0)
		r = make_directory(tree_fd, is_root ? "usr/lib" : "lib");
	if (r == 0)
		r = ul_image_write_file(tree_fd, path, text.data, text.len);
	return r < 0 ? tree_error(job, -r, err) : 0;
}

/*
 * The names layer, over the store as it will be: what is still to be mounted has its mount point there, a directory for
 * a directory.
 */
static int write_names(struct ul_image_job *job, int tree_fd, struct ul_error *err)
{
	ul_autoclose int store_fd = openat(tree_fd, UL_LOWER_STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ul_autoclose int names_fd = openat(tree_fd, UL_LOWER_NAMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t n;

	if (store_fd < 0 || names_fd < 0)
		return tree_error(job, errno, err);
	return ul_layer_names_make(store_fd, names_fd, WHAT, &n, err);
}

static int write_manifest(struct ul_image_job *job, int tree_fd, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = ul_manifest_copy(job->m, &bytes, err);

	if (r < 0)
		return r;
	r = ul_image_write_file(tree_fd, UL_LOWER_MANIFEST, bytes.data, bytes.len);
	return r < 0 ? tree_error(job, -r, err) : 0;
}

int ul_image_lay_out_tree(struct ul_image_job *job, struct ul_error *err)
{
	ul_autoclose int tree_fd = -1;
	ul_autofree char *store = ul_path_join(job->tree, UL_LOWER_STORE);
	int r = 0;

	if (!store)
		return ul_error_nomem(err, WHAT);
	if (mkdir(job->tree, 0755) < 0 || chmod(job->tree, 0755) < 0)
		return tree_error(job, errno, err);
	tree_fd = open(job->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_fd < 0)
		return tree_error(job, errno, err);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(directories); i++)
		r = make_directory(tree_fd, directories[i]);
	/* As Nix makes it; profiles are roots. */
	if (r == 0 && symlinkat("/nix/var/nix/profiles", tree_fd, "nix/var/nix/gcroots/profiles") < 0)
		r = -errno;
	if (r < 0)
		return tree_error(job, -r, err);
	r = write_manifest(job, tree_fd, err);
	if (r == 0)
		r = write_info(job, tree_fd, err);
	if (r == 0)
		r = ul_image_write_root(job, tree_fd, err);
	if (r == 0)
		r = write_os_release(job, tree_fd, err);
	if (r == 0)
		r = ul_staging_populate(job->staging, store, err);
	if (r == 0)
		r = write_names(job, tree_fd, err);
	/* As Nix wants it where builds run as users of a group; see erofs_owner.h. */
	if (r == 0 && job->o.store_group && chmod(store, 01775) < 0)
		r = tree_error(job, errno, err);
	return r;
}

int ul_image_write_database(struct ul_image_job *job, struct ul_error *err)
{
	static const char *const files[] = {"db.sqlite", "schema"};
	struct ul_db_options options = {.threads = job->o.threads, .progress = job->o.progress};
	ul_autofree char *dir = ul_path_join(job->tree, UL_LOWER_DB);
	int r;

	if (job->o.no_database)
		return 0;
	if (!dir)
		return ul_error_nomem(err, WHAT);
	r = ul_db_build(job->m, AT_FDCWD, dir, &options, err);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(files); i++) {
		ul_autofree char *file = ul_path_join(dir, files[i]);

		if (!file)
			return ul_error_nomem(err, WHAT);
		if (chmod(file, 0444) < 0 && errno != ENOENT)
			r = tree_error(job, errno, err);
	}
	return r;
}
