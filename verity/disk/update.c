#include "verity/disk/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "verity/disk/disk_node.h"
#include "verity/disk/update_job.h"
#include "verity/open/partition_device.h"
#include "verity/open/slot_pairs.h"

static const char WHAT[] = "updating";

/* ---- before the first byte is written ---- */

/* What the image is called, and what it needs, for all that comes after. */
static void take_over(struct ul_update_job *job)
{
	snprintf(job->label, sizeof(job->label), "%s_%s", job->d.name, job->d.version);
	snprintf(job->result->name, sizeof(job->result->name), "%s", job->d.name);
	snprintf(job->result->version, sizeof(job->result->version), "%s", job->d.version);
}

static int open_stream(struct ul_update_job *job, struct ul_error *err)
{
	int r = ul_image_stream_open(STDIN_FILENO, &job->stream, err);

	if (r < 0)
		return r;
	job->d = job->stream.d;
	job->types = job->stream.types;
	job->data_size = job->stream.part[UL_SLOT_DATA].size;
	job->hash_size = job->stream.part[UL_SLOT_HASH].size;
	return 0;
}

static int open_file(struct ul_update_job *job, struct ul_error *err)
{
	struct ul_source_image *image = &job->image;
	struct ul_seal seal = {0};
	int r = ul_source_image_open(job->o.image, WHAT, image, err);

	if (r == 0)
		r = ul_judge_seal(image->slot, job->o.demands, &seal, err);
	ul_seal_free(&seal);
	if (r < 0)
		return r;
	job->d = image->d;
	job->types = image->types;
	job->data_size = image->data_size;
	job->hash_size = image->hash_size;
	return 0;
}

static int check_kind(const struct ul_update_job *job, struct ul_error *err)
{
	const struct ul_update_uki_options *uki = &job->o.uki;

	if (job->o.designator && strcmp(job->o.designator, job->types->designator) != 0)
		return ul_error_set(err, UL_E_INPUT, WHAT, job->o.image, "Build the image for it by --designator.",
				    "it is for %s partitions, the machine boots from %s partitions",
				    job->types->designator, job->o.designator);
	if (uki->uki && strcmp(uki->architecture, job->types->architecture) != 0)
		return ul_error_set(err, UL_E_INPUT, WHAT, uki->uki, "Give the two of one machine.",
				    "it is for %s, the image is for %s", uki->architecture, job->types->architecture);
	return 0;
}

static int open_image(struct ul_update_job *job, struct ul_error *err)
{
	int r = job->streamed ? open_stream(job, err) : open_file(job, err);

	if (r < 0)
		return r;
	take_over(job);
	return check_kind(job, err);
}

static int lock(struct ul_update_job *job, struct ul_error *err)
{
	int r = ul_disk_lock(job->disk.fd);

	if (r == -EWOULDBLOCK)
		return ul_error_set(err, UL_E_DEVICE, WHAT, job->o.disk, "Wait for it to end.",
				    "another program changes it");
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, -r) : 0;
}

static int open_disk(struct ul_update_job *job, struct ul_error *err)
{
	struct stat disk, image;
	int r = ul_disk_writer_open(job->o.disk, &job->disk, err);

	if (r < 0)
		return r;
	if (fstat(job->disk.fd, &disk) < 0 || fstat(job->streamed ? STDIN_FILENO : job->image.fd, &image) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, errno);
	if (!S_ISBLK(disk.st_mode) && !S_ISREG(disk.st_mode))
		return ul_error_set(err, UL_E_INPUT, WHAT, job->o.disk, NULL, "it is neither a disk nor a file");
	if (ul_disk_is_same(&disk, &image))
		return ul_error_set(err, UL_E_INPUT, WHAT, job->o.disk, NULL, "it is the image itself");
	job->table_fd = open(job->o.disk, O_RDWR | O_SYNC | O_CLOEXEC | O_NOCTTY);
	if (job->table_fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, errno);
	return lock(job, err);
}

static void tell_before(const struct ul_update_slot *slot, char *buf, size_t size)
{
	if (slot->content == UL_UPDATE_FREE)
		snprintf(buf, size, "nothing");
	else if (slot->content == UL_UPDATE_IN_WORK)
		snprintf(buf, size, "a part of it");
	else
		snprintf(buf, size, "%s%s%s", slot->name[0] ? slot->name : "an image", slot->version[0] ? " " : "",
			 slot->version);
}

static int choose(struct ul_update_job *job, struct ul_error *err)
{
	struct ul_update_query query = {
		.disk = job->o.disk,
		.types = job->types,
		.demands = job->o.demands,
		.d = &job->d,
		.running = job->o.running,
		.efivars = job->o.efivars,
	};
	struct ul_update_wish wish = {
		.d = &job->d,
		.disk = job->o.disk,
		.data_size = job->data_size,
		.hash_size = job->hash_size,
		.number = job->o.slot,
		.allow_older = job->o.allow_older,
	};
	int r = ul_update_slots(&query, &job->slots, err);
	size_t chosen = 0;

	job->listed = r == 0;
	if (r == 0)
		r = ul_update_choose(&job->slots, &wish, &chosen, err);
	if (r < 0)
		return r;
	job->slot = &job->slots.at[chosen];
	job->result->slot = job->slot->part[UL_SLOT_DATA].number;
	job->result->resumed = job->slot->content == UL_UPDATE_IN_WORK;
	job->result->present = r == 0;
	job->disk.compare = job->result->resumed;
	tell_before(job->slot, job->result->before, sizeof(job->result->before));
	return 0;
}

/* A stream's signature comes last; where its partition is at hand as a file, the image is judged by that at once. */
static int judge_first(struct ul_update_job *job, struct ul_error *err)
{
	struct stat st;

	if (!job->o.seal || job->result->present)
		return 0;
	if (stat(job->o.seal, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.seal, NULL, errno);
	return ul_update_judge(job, &(struct ul_extent){(char *)job->o.seal, 0, (uint64_t)st.st_size}, err);
}

/* What is mounted, or part of a mapping, cannot be claimed; what is claimed, nobody can mount. */
static int claim(struct ul_update_job *job, struct ul_error *err)
{
	struct stat st;

	if (job->result->present)
		return 0;
	if (fstat(job->disk.fd, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, errno);
	for (int i = 0; i < 3 && S_ISBLK(st.st_mode); i++) {
		const struct ul_partition *p = &job->slot->part[i];
		ul_autofree char *device = NULL;

		/* The kernel may know none of them: a loop device without partitions. */
		if (ul_partition_device("/sys", "/dev", st.st_rdev, p, &device, err) < 0)
			continue;
		job->held[i] = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
		if (job->held[i] < 0 && errno == EBUSY)
			return ul_error_set(err, UL_E_DEVICE, WHAT, device, "Name another slot, or free it.",
					    "it is in use");
		if (job->held[i] < 0)
			return ul_error_errno(err, UL_E_SYSTEM, WHAT, device, NULL, errno);
	}
	return 0;
}

/* What the disk will hold afterwards says which UKIs are still needed. */
static int plan_uki(struct ul_update_job *job, struct ul_error *err)
{
	ul_autonames struct ul_names keep = {0};
	char label[2 * UL_NAME_SIZE];

	if (!job->o.uki.uki)
		return 0;
	for (size_t i = 0; i < job->slots.n; i++) {
		const struct ul_update_slot *s = &job->slots.at[i];

		snprintf(label, sizeof(label), "%s_%s", s->name, s->version);
		if (s != job->slot && s->content == UL_UPDATE_IMAGE && ul_names_add(&keep, label) < 0)
			return ul_error_nomem(err, WHAT);
	}
	if (ul_names_add(&keep, job->label) < 0)
		return ul_error_nomem(err, WHAT);
	return ul_update_uki_plan(&job->o.uki, job->o.disk, &job->slots.gpt, &keep, &job->uki, err);
}

/* ---- the whole ---- */

static int write_uki(struct ul_update_job *job, struct ul_error *err)
{
	int r;

	if (!job->o.uki.uki)
		return 0;
	r = job->o.dry_run ? 0 : ul_update_uki_write(&job->o.uki, &job->uki, err);
	if (r == 0) {
		snprintf(job->result->uki_path, sizeof(job->result->uki_path), "%s", job->uki.path);
		job->result->removed = job->uki.remove;
		job->uki.remove = (struct ul_names){0};
	}
	return r;
}

/* Each step finds what the ones before it left in the job. */
static const ul_update_step checks[] = {
	open_image,  /* signed, and meant for this machine */
	open_disk,   /* locked */
	choose,      /* the slot; newer, and it fits */
	judge_first, /* a stream, by its signature */
	claim,       /* nobody uses it */
	plan_uki,    /* there is room for it */
	NULL,
};

static int run(struct ul_update_job *job, const ul_update_step *steps, struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && steps[i]; i++)
		r = steps[i](job, err);
	return r;
}

static void clean_up(struct ul_update_job *job)
{
	for (int i = 0; i < 3; i++)
		ul_cleanup_close(&job->held[i]);
	if (job->listed)
		ul_update_slots_free(&job->slots);
	ul_update_uki_close(&job->uki);
	ul_source_image_close(&job->image);
	ul_cleanup_close(&job->table_fd);
	ul_disk_writer_close(&job->disk);
}

int ul_update(const struct ul_update_options *options, struct ul_update_result *ret, struct ul_error *err)
{
	struct ul_update_job job = {
		.o = *options,
		.result = ret,
		.streamed = !strcmp(options->image, "-"),
		.image = {.fd = -1},
		.disk = {.fd = -1, .direct_fd = -1},
		.table_fd = -1,
		.held = {-1, -1, -1},
	};
	int r;

	*ret = (struct ul_update_result){.slot = 0};
	r = run(&job, checks, err);
	if (r == 0 && ret->present)
		r = ul_update_mend_table(&job, err);
	else if (r == 0 && !options->dry_run)
		r = run(&job, job.streamed ? ul_update_stream_steps : ul_update_file_steps, err);
	if (r == 0)
		r = write_uki(&job, err);
	clean_up(&job);
	return r;
}

void ul_update_result_free(struct ul_update_result *result)
{
	ul_names_free(&result->removed);
}
