#include "common/file.h"
#include "verity/image/job.h"

#include <errno.h>
#include <sys/stat.h>
#include <stdio.h>
#include <string.h>

int ul_image_check_cancelled(const struct ul_image_job *job, struct ul_error *err)
{
	return job->o.cancelled && job->o.cancelled() ? ul_image_interrupted(job, err) : 0;
}

int ul_image_interrupted(const struct ul_image_job *job, struct ul_error *err)
{
	return ul_error_set(err, UL_E_SYSTEM, "building the image", job->o.output, NULL,
			    "interrupted; nothing is left behind");
}

void ul_image_seed(const struct ul_image_job *job, uint8_t out[UL_IMAGE_SEED_SIZE])
{
	memset(out, 0, UL_IMAGE_SEED_SIZE);
	memcpy(out, job->manifest_hash, 32);
	snprintf((char *)out + 32, UL_NAME_SIZE, "%s", job->o.name);
	snprintf((char *)out + 32 + UL_NAME_SIZE, UL_NAME_SIZE, "%s", job->o.version);
}

int ul_image_write_file(int tree_fd, const char *path, const void *data, size_t len)
{
	int r = ul_write_file(tree_fd, path, 0444, data, len);

	if (r == 0 && fchmodat(tree_fd, path, 0444, 0) < 0)
		r = -errno;
	return r;
}
