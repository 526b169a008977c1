#include "verity/disk/disk_build.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/disk/copy_range.h"
#include "verity/disk/esp.h"
#include "verity/disk/source_image.h"
#include "verity/format/image_layout.h"
#include "verity/image/gpt_write.h"
#include "verity/image/work_dir.h"

static const char WHAT[] = "building the disk";

#define MIB       UL_IMAGE_ALIGN
#define ESP_LEAST (64ull << 20) /* bytes, of the default */
#define ESP_UKIS  3             /* the one that runs, the one before, one that is being written */

#define ESP_FILES_MAX 6
#define ENTRIES_MAX   (2 + 3 * UL_DISK_SLOTS_MAX)

struct job {
	struct ul_disk_options o;
	struct ul_disk_result *result;

	struct ul_source_image image;

	struct ul_work_dir work;
	char *disk, *esp, *loader_conf; /* in it */
	int disk_fd;

	struct ul_esp_file files[ESP_FILES_MAX];
	char paths[ESP_FILES_MAX][256];
	size_t n_files;
	struct ul_disk_layout layout;
};

/* ---- the parts ---- */

static int open_image(struct job *job, struct ul_error *err)
{
	int r = ul_source_image_open(job->o.image, WHAT, &job->image, err);

	job->result->is_signed = job->image.is_signed;
	return r < 0 ? r : ul_source_image_check_uki(&job->image, WHAT, job->o.uki, job->o.architecture, err);
}

static int add_file(struct job *job, const char *source, struct ul_error *err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int add_file(struct job *job, const char *source, struct ul_error *err, const char *format, ...)
{
	struct ul_esp_file *file = &job->files[job->n_files];
	char *path = job->paths[job->n_files];
	struct stat st;
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(job->paths[0]), format, args);
	va_end(args);
	if (stat(source, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, source, NULL, errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return ul_error_set(err, UL_E_INPUT, WHAT, source, NULL, "it is not a file");
	*file = (struct ul_esp_file){path, source, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : job->image.size};
	if (file->size > UL_ESP_FILE_MAX)
		return ul_error_set(err, UL_E_INPUT, WHAT, source, "Put the image into a slot, not on the ESP.",
				    "it has %" PRIu64 " bytes; a file on a FAT filesystem has less than 4 GiB",
				    file->size);
	job->n_files++;
	return 0;
}

/* systemd-boot(7) and its loader.conf(5): UKIs lie in EFI/Linux, and a name that ends in +N is counted. */
static int add_boot_loader(struct job *job, struct ul_error *err)
{
	static const char conf[] = "timeout 3\neditor no\n";
	char tries[16] = "", efi[16];
	int r;

	for (size_t i = 0; i < sizeof(efi) && (efi[i] = job->o.efi[i]); i++)
		if (efi[i] >= 'A' && efi[i] <= 'Z')
			efi[i] = (char)(efi[i] - 'A' + 'a');
	if (job->o.tries)
		snprintf(tries, sizeof(tries), "+%u", job->o.tries);
	r = ul_write_file(AT_FDCWD, job->loader_conf, 0644, conf, strlen(conf));
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->loader_conf, NULL, -r);
	r = add_file(job, job->o.boot_loader, err, "EFI/BOOT/BOOT%s.EFI", job->o.efi);
	if (r == 0)
		r = add_file(job, job->o.boot_loader, err, "EFI/systemd/systemd-boot%s.efi", efi);
	if (r == 0)
		r = add_file(job, job->loader_conf, err, "loader/loader.conf");
	return r < 0 ? r : add_file(job, job->o.uki, err, "EFI/Linux/%s%s.efi", job->image.label, tries);
}

static int list_files(struct job *job, struct ul_error *err)
{
	int r;

	if (job->o.boot_loader)
		r = add_boot_loader(job, err);
	else
		r = add_file(job, job->o.uki, err, "EFI/BOOT/BOOT%s.EFI", job->o.efi);
	if (r < 0)
		return r;
	snprintf(job->result->uki_path, sizeof(job->result->uki_path), "%s", job->paths[job->n_files - 1]);
	return job->o.image_as_file ? add_file(job, job->o.image, err, UL_DISK_IMAGE_FILE, job->image.label) : 0;
}

static uint64_t esp_size(const struct job *job)
{
	uint64_t least = ul_esp_size_min(job->o.sector), wanted;
	struct ul_esp_file room[ESP_FILES_MAX + 2 * (ESP_UKIS - 1)];
	size_t n = job->n_files;

	if (job->o.esp_size)
		return job->o.esp_size;
	/* An update needs room for another UKI, and another image where it is a file. */
	memcpy(room, job->files, sizeof(job->files));
	for (size_t i = 0; i < job->n_files; i++)
		for (int k = 1; k < ESP_UKIS; k++)
			if (job->files[i].source == job->o.uki || (job->files[i].source == job->o.image && k == 1))
				room[n++] = job->files[i];
	wanted = ul_esp_size_of(room, n, job->o.sector);
	wanted = (wanted / MIB + 1) * MIB;
	if (wanted < ESP_LEAST)
		wanted = ESP_LEAST;
	return wanted > least ? wanted : least;
}

static int lay_out(struct job *job, struct ul_error *err)
{
	struct ul_disk_request q = {
		.d = &job->image.d,
		.data_size = job->image.data_size,
		.hash_size = job->image.hash_size,
		.slots = job->o.image_as_file ? 0 : job->o.slots,
		.slot_size = job->o.slot_size,
		.esp_size = esp_size(job),
		.upper_size = job->o.upper_size,
		.no_upper = job->o.no_upper,
		.size = job->o.size,
	};

	return ul_disk_layout(&q, &job->layout, err);
}

/* ---- the bytes ---- */

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

/* Where on the disk a stretch goes. */
struct target {
	int fd;
	uint64_t offset; /* bytes */
};

/* Zeros stay a hole: the disk's file takes no more room than what is on it. */
static int put(void *user, const uint8_t *bytes, size_t len, uint64_t done)
{
	const struct target *t = user;

	return ul_all_zero(bytes, len) ? 0 : ul_pwrite_full(t->fd, bytes, len, t->offset + done);
}

static int copy(struct job *job, int from, uint64_t offset, struct ul_disk_range to, uint64_t len, struct ul_error *err)
{
	struct target target = {job->disk_fd, to.offset};
	int r = ul_copy_range(&(struct ul_copy_range){
		.from = from,
		.offset = offset,
		.size = len,
		.step = "copying",
		.progress = job->o.progress,
		.cancelled = job->o.cancelled,
		.piece = put,
		.user = &target,
	});

	if (r == -ECANCELED)
		return ul_error_set(err, UL_E_SYSTEM, WHAT, job->o.output, NULL, "interrupted; nothing is left behind");
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.output, NULL, -r) : 0;
}

/* What is derived from the image's root hash is the same in each build, and differs between images. */
static int derive_uuid(const struct job *job, const char *label, unsigned int number, uint8_t ret[16],
		       struct ul_error *err)
{
	char text[64];

	snprintf(text, sizeof(text), "disk-%s-%u", label, number);
	return ul_image_derive_uuid(text, job->image.d.root_hash, job->image.d.root_hash_len, ret) < 0
		       ? ul_error_nomem(err, WHAT)
		       : 0;
}

static int write_esp(struct job *job, struct ul_error *err)
{
	struct ul_esp esp = {
		.size = job->layout.esp.size, .sector = job->o.sector, .files = job->files, .n = job->n_files};
	ul_autoclose int fd = -1;
	uint8_t uuid[16];
	int r = derive_uuid(job, "esp", 0, uuid, err);

	esp.volume = r == 0 ? ul_get_le32(uuid) : 0;
	if (r == 0)
		r = ul_esp_make(job->esp, &esp, err);
	if (r < 0)
		return r;
	fd = open(job->esp, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->esp, NULL, errno);
	r = copy(job, fd, 0, job->layout.esp, job->layout.esp.size, err);
	return r == 0 && unlink(job->esp) < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->esp, NULL, errno) : r;
}

static int write_slot(struct job *job, struct ul_error *err)
{
	const struct ul_disk_slot_layout *l = &job->layout.slot[0];
	const struct ul_slot *s = job->image.slot;
	int r;

	if (job->layout.slots == 0)
		return 0;
	r = copy(job, job->image.fd, s->data.offset, l->data, job->image.data_size, err);
	if (r == 0)
		r = copy(job, job->image.fd, s->hash.offset, l->hash, job->image.hash_size, err);
	return r < 0 ? r : copy(job, job->image.fd, s->sig.offset, l->sig, l->sig.size, err);
}

/* ---- the table ---- */

/* The table's rows, and the place for their UUIDs. */
struct rows {
	struct ul_gpt_entry at[ENTRIES_MAX];
	size_t n;
};

static struct ul_gpt_entry *add_row(struct rows *rows, const char *type, const char *label, struct ul_disk_range range)
{
	struct ul_gpt_entry *e = &rows->at[rows->n++];

	*e = (struct ul_gpt_entry){.type = type, .label = label, .offset = range.offset, .size = range.size};
	return e;
}

static int add_slot_rows(struct job *job, unsigned int i, const struct ul_partition_types *types, struct rows *rows,
			 struct ul_error *err)
{
	const struct ul_disk_slot_layout *l = &job->layout.slot[i];
	const char *label = i == 0 ? job->image.label : UL_SLOT_LABEL_FREE;
	struct ul_gpt_entry *e[3] = {
		add_row(rows, types->data, label, l->data),
		add_row(rows, types->verity, label, l->hash),
		add_row(rows, types->verity_sig, label, l->sig),
	};
	int r = 0;

	for (unsigned int k = 0; k < 3 && r == 0; k++) {
		e[k]->read_only = i == 0;
		r = derive_uuid(job, "slot", 3 * i + k, e[k]->uuid, err);
	}
	if (r == 0 && i == 0 &&
	    ul_image_partition_uuids(job->image.d.root_hash, job->image.d.root_hash_len, e[0]->uuid, e[1]->uuid) < 0)
		r = ul_error_set(err, UL_E_DESCRIPTOR, WHAT, job->o.image, NULL, "its root hash is too short");
	return r;
}

static int write_table(struct job *job, struct ul_error *err)
{
	const struct ul_partition_types *types = job->image.types;
	struct rows rows = {.n = 0};
	struct ul_gpt_table table = {.sector = job->o.sector, .entries = rows.at};
	int r = derive_uuid(job, "esp", 0, add_row(&rows, UL_DISK_TYPE_ESP, "esp", job->layout.esp)->uuid, err);

	for (unsigned int i = 0; r == 0 && i < job->layout.slots; i++)
		r = add_slot_rows(job, i, types, &rows, err);
	if (r == 0 && job->layout.upper.size)
		r = derive_uuid(job, "upper", 0, add_row(&rows, UL_DISK_TYPE_UPPER, "upper", job->layout.upper)->uuid,
				err);
	if (r == 0)
		r = derive_uuid(job, "table", 0, table.uuid, err);
	table.n = rows.n;
	return r < 0 ? r : ul_gpt_write(job->disk_fd, job->disk, &table, err);
}

/* ---- the whole ---- */

static int set_size(struct job *job, struct ul_error *err)
{
	if (ftruncate(job->disk_fd, (off_t)job->layout.size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->disk, NULL, errno);
	return 0;
}

static int publish(struct job *job, struct ul_error *err)
{
	return ul_work_dir_publish(&job->work, job->disk, job->o.replace, WHAT, err);
}

/* Each step finds what the ones before it left in the job. */
static int (*const steps[])(struct job *job, struct ul_error *err) = {
	open_image,  /* its slot and what it says of itself */
	make_work,   /* OUTPUT.tmp, locked */
	list_files,  /* of the ESP */
	lay_out,     /* offsets and sizes: refused before anything is copied */
	set_size,    /* a hole of the disk's size */
	write_esp,   /* FAT */
	write_slot,  /* the first one */
	write_table, /* names and UUIDs */
	publish,     /* rename to OUTPUT */
};

static void clean_up(struct job *job)
{
	ul_source_image_close(&job->image);
	ul_cleanup_close(&job->disk_fd);
	ul_work_dir_remove(&job->work);
	free(job->disk);
	free(job->esp);
	free(job->loader_conf);
}

int ul_disk_build(const struct ul_disk_options *options, struct ul_disk_result *ret, struct ul_error *err)
{
	struct job job = {.o = *options, .result = ret, .work = {.fd = -1}, .image = {.fd = -1}, .disk_fd = -1};
	int r = 0;

	*ret = (struct ul_disk_result){.is_signed = false};
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(steps); i++)
		r = steps[i](&job, err);
	if (r == 0) {
		ret->layout = job.layout;
		snprintf(ret->name, sizeof(ret->name), "%s", job.image.d.name);
		snprintf(ret->version, sizeof(ret->version), "%s", job.image.d.version);
	}
	clean_up(&job);
	return r;
}
