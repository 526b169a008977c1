#include "verity/disk/disk_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/image/work_dir.h"

static const char WHAT[] = "building the disk";

struct job {
	struct ul_disk_options o;
	struct ul_disk_parts parts;
	struct ul_disk_sink sink;

	struct ul_work_dir work;
	char *disk, *esp, *loader_conf; /* in it */
	int disk_fd;
};

static int open_image(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_open(&job->o.spec, NULL, WHAT, &job->parts, err);
}

static int make_work(struct job *job, struct ul_error *err)
{
	static const char *const ours[] = {"disk", "esp", "loader.conf", NULL};
	int r = ul_work_dir_check(job->o.output, job->o.replace, WHAT, err);

	if (r == 0)
		r = ul_work_dir_make(job->o.output, ours, WHAT, &job->work, err);
	if (r < 0)
		return r;
	job->disk = ul_path_join(job->work.path, "disk");
	job->esp = ul_path_join(job->work.path, "esp");
	job->loader_conf = ul_path_join(job->work.path, "loader.conf");
	if (!job->disk || !job->esp || !job->loader_conf)
		return ul_error_nomem(err, WHAT);
	job->disk_fd = open(job->disk, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return job->disk_fd < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->disk, NULL, errno) : 0;
}

static int lay_out(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_lay_out(&job->parts, job->loader_conf, err);
}

static int set_size(struct job *job, struct ul_error *err)
{
	if (ftruncate(job->disk_fd, (off_t)job->parts.layout.size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->disk, NULL, errno);
	return 0;
}

/* Zeros stay a hole: the disk's file takes no more room than what is on it. */
static int put(void *user, const uint8_t *bytes, size_t len, uint64_t offset)
{
	const struct job *job = user;

	return ul_all_zero(bytes, len) ? 0 : ul_pwrite_full(job->disk_fd, bytes, len, offset);
}

static int write_esp(struct job *job, struct ul_error *err)
{
	int r = ul_disk_parts_make_esp(&job->parts, job->esp, err);

	if (r == 0)
		r = ul_disk_parts_copy_esp(&job->parts, job->esp, &job->sink, err);
	return r == 0 && unlink(job->esp) < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->esp, NULL, errno) : r;
}

static int write_slot(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_copy_slot(&job->parts, &job->sink, err);
}

static int write_table(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_write_table(&job->parts, job->disk_fd, job->disk, err);
}

static int publish(struct job *job, struct ul_error *err)
{
	return ul_work_dir_publish(&job->work, job->disk, job->o.replace, WHAT, err);
}

/* Each step finds what the ones before it left in the job. */
static int (*const steps[])(struct job *job, struct ul_error *err) = {
	open_image,  /* its slot and what it says of itself */
	make_work,   /* OUTPUT.tmp, locked */
	lay_out,     /* the ESP's files, offsets and sizes: refused before anything is copied */
	set_size,    /* a hole of the disk's size */
	write_esp,   /* FAT */
	write_slot,  /* the first one */
	write_table, /* names and UUIDs */
	publish,     /* rename to OUTPUT */
};

static void clean_up(struct job *job)
{
	ul_disk_parts_close(&job->parts);
	ul_cleanup_close(&job->disk_fd);
	ul_work_dir_remove(&job->work);
	free(job->disk);
	free(job->esp);
	free(job->loader_conf);
}

int ul_disk_build(const struct ul_disk_options *options, struct ul_disk_result *ret, struct ul_error *err)
{
	struct job job = {
		.o = *options,
		.sink = {put, &job, options->output, "interrupted; nothing is left behind", options->progress,
			 options->cancelled},
		.work = {.fd = -1},
		.disk_fd = -1,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(steps); i++)
		r = steps[i](&job, err);
	if (r == 0)
		ul_disk_parts_tell(&job.parts, ret);
	clean_up(&job);
	return r;
}
