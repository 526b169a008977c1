/* The root path of an image (dbgen/manifest/root_path.h), and the list of the collector's roots. */
#include <errno.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "verity/image/job.h"

static const char what[] = "laying out the tree";

int ul_image_add_root(struct ul_image_job *job, struct ul_error *err)
{
	int r = ul_root_path_add(job->m, &job->root_bytes, &job->with_root, job->root, err);

	if (r < 0)
		return r;
	if (job->with_root)
		job->m = job->with_root;
	return ul_manifest_hash(job->m, job->manifest_hash, err);
}

int ul_image_write_root(const struct ul_image_job *job, int tree_fd, struct ul_error *err)
{
	ul_autofree char *path = ul_path_join(UL_LOWER_STORE, job->root);
	ul_autobuffer struct ul_buffer list = {0};
	int r = path && (!*job->root || ul_buffer_printf(&list, "%s\n", job->root) == 0) ? 0 : -ENOMEM;

	if (r == 0)
		r = ul_image_write_file(tree_fd, UL_LOWER_ROOTS, list.data, list.len);
	if (r == 0 && job->with_root)
		r = ul_image_write_file(tree_fd, path, UL_ROOT_PATH_CONTENTS, strlen(UL_ROOT_PATH_CONTENTS));
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, job->tree, NULL, -r) : 0;
}
