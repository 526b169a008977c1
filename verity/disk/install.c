#include "verity/disk/install.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "verity/disk/copy_range.h"
#include "verity/disk/device.h"
#include "verity/disk/disk_content.h"
#include "verity/format/image_layout.h"
#include "verity/image/fec.h"
#include "verity/image/hash_tree.h"
#include "verity/image/work_dir.h"

static const char WHAT[] = "installing";

#define MIB UL_IMAGE_ALIGN

/* Bytes: LUKS has a second header as far as 4 MiB from the begin, Promise's arrays a mark 1.5 MiB before the end. */
#define DISK_EDGE (8 * (uint64_t)MIB)

struct job {
	const struct ul_install_options *o;
	struct ul_disk_parts parts;
	struct ul_device device;
	struct ul_disk_sink sink;
	bool begun; /* the disk has been written to */

	struct ul_work_dir work;
	char *esp, *loader_conf; /* in it */
	int reread_errno;
};

static int device_failed(const struct job *job, int r, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o->device, NULL, -r);
}

/* ---- before a byte is written ---- */

static int open_image(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_open(&job->o->spec, job->o->pick, WHAT, &job->parts, err);
}

static int open_device(struct job *job, struct ul_error *err)
{
	const struct ul_disk_spec *spec = &job->o->spec;
	const struct ul_device_demands demands = {spec->sector, job->o->system_disk};
	const char *const inputs[] = {spec->image, spec->uki, spec->boot_loader};
	int r = ul_device_open(job->o->device, &demands, WHAT, &job->device, err);

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(inputs); i++)
		if (inputs[i] && ul_device_is(&job->device, inputs[i]))
			r = ul_error_set(err, UL_E_INPUT, WHAT, job->o->device, "Give another disk.",
					 "it is what shall be installed: %s", inputs[i]);
	job->parts.spec.device = job->o->device;
	job->parts.spec.sector = job->device.sector;
	job->parts.spec.size = job->device.size / MIB * MIB;
	return r;
}

/* What is on it is named; whoever names the device once more has read it. */
static int look_at_content(struct job *job, struct ul_error *err)
{
	struct ul_disk_bounds bounds = {.size = job->device.size, .sector = job->device.sector};
	const char *erase = job->o->erase, *device = job->o->device;
	char holds[256], todo[320];
	int r;

	if (erase && (strcmp(erase, device) != 0 || !ul_device_is(&job->device, erase)))
		return ul_error_set(err, UL_E_USAGE, WHAT, device, "Name one device twice.",
				    "--erase names another one: %s", erase);
	r = ul_disk_parts_table_uuid(&job->parts, bounds.own_table, err);
	if (r < 0)
		return r;
	r = ul_disk_content(job->device.fd, &bounds, holds, sizeof(holds));
	if (r < 0)
		return device_failed(job, r, err);
	if (r == 0 || erase)
		return 0;
	snprintf(todo, sizeof(todo), "If all of that may go, give --erase %s.", device);
	return ul_error_set(err, UL_E_EXISTS, WHAT, device, todo, "it holds %s", holds);
}

/* Where the ESP is made before it is copied. Its name cannot be foreseen: others may write to /tmp, too. */
static int make_work(struct job *job, struct ul_error *err)
{
	static const char *const ours[] = {"esp", "loader.conf", NULL};
	const char *dir = getenv("TMPDIR");
	ul_autofree char *path = NULL;
	uint64_t number;
	int r;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, "getrandom", NULL, errno);
	if (asprintf(&path, "%s/underlay-install-%016" PRIx64, dir && *dir ? dir : "/tmp", number) < 0) {
		path = NULL;
		return ul_error_nomem(err, WHAT);
	}
	r = ul_work_dir_make(path, ours, WHAT, &job->work, err);
	if (r < 0)
		return r;
	job->esp = ul_path_join(job->work.path, "esp");
	job->loader_conf = ul_path_join(job->work.path, "loader.conf");
	return job->esp && job->loader_conf ? 0 : ul_error_nomem(err, WHAT);
}

static int lay_out(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_lay_out(&job->parts, job->loader_conf, err);
}

static int make_esp(struct job *job, struct ul_error *err)
{
	return ul_disk_parts_make_esp(&job->parts, job->esp, err);
}

/* ---- the bytes ---- */

static int zero_edges(struct job *job, uint64_t offset, uint64_t size, uint64_t edge)
{
	int r;

	if (edge > size)
		edge = size;
	r = ul_device_zero(&job->device, offset, edge);
	return r < 0 ? r : ul_device_zero(&job->device, offset + size - edge, edge);
}

/* The disk's own first, so that no old table leads to what is half gone. */
static int wipe(struct job *job, struct ul_error *err)
{
	const struct ul_disk_layout *l = &job->parts.layout;
	int r;

	job->begun = true;
	r = zero_edges(job, 0, job->device.size, DISK_EDGE);
	if (r == 0)
		r = ul_device_sync(&job->device);
	for (unsigned int i = 0; r == 0 && i < l->slots; i++) {
		const struct ul_disk_range part[] = {l->slot[i].data, l->slot[i].hash, l->slot[i].sig};

		for (size_t k = 0; r == 0 && k < UL_ARRAY_SIZE(part); k++)
			r = zero_edges(job, part[k].offset, part[k].size, MIB);
	}
	/* What became of images on this disk before is not what will become of this one. */
	if (r == 0)
		r = ul_device_zero(&job->device, l->trials.offset, l->trials.size);
	if (r == 0 && l->upper.size)
		r = zero_edges(job, l->upper.offset, l->upper.size, DISK_EDGE);
	if (r == 0)
		r = ul_device_sync(&job->device);
	return r < 0 ? device_failed(job, r, err) : 0;
}

/* What is read from now on is what the disk has. */
static int settle(struct job *job, struct ul_error *err)
{
	int r = ul_device_sync(&job->device);

	if (r == 0)
		r = ul_device_forget(&job->device);
	return r < 0 ? device_failed(job, r, err) : 0;
}

static int write_slot(struct job *job, struct ul_error *err)
{
	int r = ul_disk_parts_copy_slot(&job->parts, &job->sink, err);

	return r < 0 ? r : settle(job, err);
}

static int check_tree(const struct job *job, const struct ul_image_fds *fds, struct ul_error *err)
{
	const struct ul_descriptor *d = &job->parts.image.d;
	const struct ul_work work = {.progress = job->o->progress, .cancelled = job->o->cancelled};
	int r = ul_hash_tree_check(fds, d, &work, NULL, err);

	return r == 0 && d->fec_roots ? ul_fec_check(fds, d, &work, err) : r;
}

/* Who is to blame: the image, or the disk that gives back what was not written? */
static int check_slot(struct job *job, struct ul_error *err)
{
	const struct ul_disk_slot_layout *l = &job->parts.layout.slot[0];
	const struct ul_source_image *image = &job->parts.image;
	const struct ul_image_fds there = {job->device.fd, l->data.offset, job->device.fd, l->hash.offset};
	const struct ul_image_fds here = {image->fd, image->slot->data.offset, image->fd, image->slot->hash.offset};
	struct ul_error reason;
	int r = check_tree(job, &there, err);

	if (r != -UL_E_CORRUPT)
		return r;
	reason = *err;
	if (check_tree(job, &here, NULL) == -UL_E_CORRUPT)
		return ul_error_set(err, UL_E_CORRUPT, WHAT, image->path,
				    "Get the image again; nothing starts from the disk.",
				    "the image is damaged: %s: %s", reason.object, reason.why);
	return ul_error_set(err, UL_E_CORRUPT, WHAT, job->o->device, "Take another disk.",
			    "it does not give back what was written: %s: %s", reason.object, reason.why);
}

static int compare(void *user, const uint8_t *bytes, size_t len, uint64_t offset)
{
	const struct job *job = user;
	ul_autofree uint8_t *there = malloc(len);
	int r = there ? ul_pread_full(job->device.fd, there, len, offset) : -ENOMEM;

	return r < 0 ? r : memcmp(bytes, there, len) ? -EBADMSG : 0;
}

static int write_esp(struct job *job, struct ul_error *err)
{
	struct ul_disk_sink comparison = job->sink;
	int r = ul_disk_parts_copy_esp(&job->parts, job->esp, &job->sink, err);

	comparison.put = compare;
	comparison.user = job;
	if (r == 0)
		r = settle(job, err);
	if (r == 0)
		r = ul_disk_parts_copy_esp(&job->parts, job->esp, &comparison, err);
	if (r < 0 && err && err->errnum == EBADMSG)
		return ul_error_set(err, UL_E_CORRUPT, WHAT, job->o->device, "Take another disk.",
				    "it does not give back what was written of the EFI system partition");
	return r;
}

/* ---- the table ---- */

/* A piece of the table's file goes to the same place of the disk. */
static int put_piece(struct job *job, int fd, uint64_t offset, uint64_t len)
{
	ul_autofree uint8_t *bytes = malloc((size_t)len);
	int r = bytes ? ul_pread_full(fd, bytes, (size_t)len, offset) : -ENOMEM;

	return r < 0 ? r : ul_device_put(&job->device, bytes, (size_t)len, offset);
}

/*
 * Both headers first: their UUID tells the next installation that what it finds was cut off. The protective MBR is the
 * last sector that is written.
 */
static int put_table(struct job *job, int fd)
{
	const uint64_t size = job->device.size, sector = job->device.sector;
	const struct {
		uint64_t offset, len;
		bool sync;
	} pieces[] = {
		{sector, sector, false},
		{size - sector, sector, true},
		{2 * sector, MIB - 2 * sector, false},
		{size - MIB, MIB - sector, true},
		{0, sector, true},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(pieces); i++) {
		r = put_piece(job, fd, pieces[i].offset, pieces[i].len);
		if (r == 0 && pieces[i].sync)
			r = ul_device_sync(&job->device);
	}
	return r;
}

/* libfdisk writes in an order of its own, as the kernel likes: it gets a file of holes that is as large as the disk. */
static int write_table(struct job *job, struct ul_error *err)
{
	ul_autoclose int fd = memfd_create("underlay-table", MFD_CLOEXEC);
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)job->device.size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, "memory for the partition table", NULL, errno);
	r = ul_disk_parts_write_table(&job->parts, fd, job->o->device, err);
	if (r < 0)
		return r;
	r = put_table(job, fd);
	return r < 0 ? device_failed(job, r, err) : 0;
}

static int reread(struct job *job, struct ul_error *err)
{
	(void)err;
	job->reread_errno = -ul_device_reread(&job->device);
	return 0;
}

/* ---- the whole ---- */

/* Each step finds what the ones before it left in the job. */
static int (*const steps[])(struct job *job, struct ul_error *err) = {
	open_image,      /* its slot and what it says of itself */
	open_device,     /* for us alone */
	look_at_content, /* nothing, or what may go */
	make_work,       /* a directory for the ESP's file */
	lay_out,         /* offsets and sizes */
	make_esp,        /* FAT */
	wipe,            /* from here on the disk is written to */
	write_slot,      /* the first one */
	check_slot,      /* as the disk has it */
	write_esp,       /* and compare it */
	write_table,     /* it is a disk that boots */
	reread,          /* by the kernel */
};

static void clean_up(struct job *job)
{
	ul_disk_parts_close(&job->parts);
	ul_device_close(&job->device);
	ul_work_dir_remove(&job->work);
	free(job->esp);
	free(job->loader_conf);
}

int ul_install(const struct ul_install_options *options, struct ul_install_result *ret, struct ul_error *err)
{
	struct job job = {
		.o = options,
		.device = {.fd = -1},
		.sink = {ul_device_put, &job.device, options->device, "interrupted", options->progress,
			 options->cancelled},
		.work = {.fd = -1},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(steps); i++) {
		r = steps[i](&job, err);
		if (r == 0 && options->cancelled && options->cancelled() && i + 1 < UL_ARRAY_SIZE(steps))
			r = ul_error_set(err, UL_E_SYSTEM, WHAT, options->device, NULL, "interrupted");
	}
	if (r == 0) {
		ul_disk_parts_tell(&job.parts, &ret->disk);
		ret->disk.layout.size = job.device.size;
		ret->reread_errno = job.reread_errno;
	} else if (job.begun && err && !err->todo[0]) {
		snprintf(err->todo, sizeof(err->todo), "The disk is empty now: the same command begins anew.");
	}
	clean_up(&job);
	return r;
}
