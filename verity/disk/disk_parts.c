/* The parts of a disk, one after the other. Who asks for them knows the order, and where they go. */
#include "verity/disk/disk_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/disk/copy_range.h"
#include "verity/format/image_layout.h"
#include "verity/image/gpt_write.h"
#include "verity/trial/store.h"

#define MIB       UL_IMAGE_ALIGN
#define ESP_LEAST (64ull << 20) /* bytes, of the default */
#define ESP_UKIS  3             /* the one that runs, the one before, one that is being written */

#define ENTRIES_MAX (3 + 3 * UL_DISK_SLOTS_MAX)

int ul_disk_parts_open(const struct ul_disk_spec *spec, const struct ul_source_pick *pick, const char *what,
		       struct ul_disk_parts *ret, struct ul_error *err)
{
	int r;

	*ret = (struct ul_disk_parts){.spec = *spec, .what = what};
	r = ul_source_image_open_one(spec->image, pick, what, &ret->image, err);
	return r < 0 ? r : ul_source_image_check_uki(&ret->image, what, spec->uki, spec->architecture, err);
}

void ul_disk_parts_close(struct ul_disk_parts *parts)
{
	ul_source_image_close(&parts->image);
}

/* ---- the ESP's files, and the layout ---- */

static int add_file(struct ul_disk_parts *parts, const char *source, struct ul_error *err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int add_file(struct ul_disk_parts *parts, const char *source, struct ul_error *err, const char *format, ...)
{
	struct ul_esp_file *file = &parts->files[parts->n_files];
	char *path = parts->paths[parts->n_files];
	struct stat st;
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(parts->paths[0]), format, args);
	va_end(args);
	if (stat(source, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, parts->what, source, NULL, errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return ul_error_set(err, UL_E_INPUT, parts->what, source, NULL, "it is not a file");
	*file = (struct ul_esp_file){path, source, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : parts->image.size};
	if (file->size > UL_ESP_FILE_MAX)
		return ul_error_set(err, UL_E_INPUT, parts->what, source, "Put the image into a slot, not on the ESP.",
				    "it has %" PRIu64 " bytes; a file on a FAT filesystem has less than 4 GiB",
				    file->size);
	parts->n_files++;
	return 0;
}

/* systemd-boot(7) and its loader.conf(5): UKIs lie in EFI/Linux, and a name that ends in +N is counted. */
static int add_boot_loader(struct ul_disk_parts *parts, const char *loader_conf, struct ul_error *err)
{
	static const char conf[] = "timeout 3\neditor no\n";
	char tries[16] = "", efi[16];
	int r;

	for (size_t i = 0; i < sizeof(efi) && (efi[i] = parts->spec.efi[i]); i++)
		if (efi[i] >= 'A' && efi[i] <= 'Z')
			efi[i] = (char)(efi[i] - 'A' + 'a');
	if (parts->spec.tries)
		snprintf(tries, sizeof(tries), "+%u", parts->spec.tries);
	r = ul_write_file(AT_FDCWD, loader_conf, 0644, conf, strlen(conf));
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, parts->what, loader_conf, NULL, -r);
	r = add_file(parts, parts->spec.boot_loader, err, "EFI/BOOT/BOOT%s.EFI", parts->spec.efi);
	if (r == 0)
		r = add_file(parts, parts->spec.boot_loader, err, "EFI/systemd/systemd-boot%s.efi", efi);
	if (r == 0)
		r = add_file(parts, loader_conf, err, "loader/loader.conf");
	return r < 0 ? r : add_file(parts, parts->spec.uki, err, "EFI/Linux/%s%s.efi", parts->image.label, tries);
}

static int list_files(struct ul_disk_parts *parts, const char *loader_conf, struct ul_error *err)
{
	int r;

	if (parts->spec.boot_loader)
		r = add_boot_loader(parts, loader_conf, err);
	else
		r = add_file(parts, parts->spec.uki, err, "EFI/BOOT/BOOT%s.EFI", parts->spec.efi);
	if (r < 0)
		return r;
	parts->uki = parts->n_files - 1;
	if (!parts->spec.image_as_file)
		return 0;
	return add_file(parts, parts->spec.image, err, UL_DISK_IMAGE_FILE, parts->image.label);
}

static uint64_t esp_size(const struct ul_disk_parts *parts)
{
	uint64_t least = ul_esp_size_min(parts->spec.sector), wanted;
	struct ul_esp_file room[UL_DISK_FILES_MAX + 2 * (ESP_UKIS - 1)];
	size_t n = parts->n_files;

	if (parts->spec.esp_size)
		return parts->spec.esp_size;
	/* An update needs room for another UKI, and another image where it is a file. */
	memcpy(room, parts->files, sizeof(parts->files));
	for (size_t i = 0; i < parts->n_files; i++)
		for (int k = 1; k < ESP_UKIS; k++)
			if (parts->files[i].source == parts->spec.uki ||
			    (parts->files[i].source == parts->spec.image && k == 1))
				room[n++] = parts->files[i];
	wanted = ul_esp_size_of(room, n, parts->spec.sector);
	wanted = (wanted / MIB + 1) * MIB;
	if (wanted < ESP_LEAST)
		wanted = ESP_LEAST;
	return wanted > least ? wanted : least;
}

int ul_disk_parts_lay_out(struct ul_disk_parts *parts, const char *loader_conf, struct ul_error *err)
{
	struct ul_disk_request q = {
		.d = &parts->image.d,
		.data_size = parts->image.data_size,
		.hash_size = parts->image.hash_size,
		.slots = parts->spec.image_as_file ? 0 : parts->spec.slots,
		.slot_size = parts->spec.slot_size,
		.upper_size = parts->spec.upper_size,
		.no_upper = parts->spec.no_upper,
		.size = parts->spec.size,
		.device = parts->spec.device,
	};
	int r = list_files(parts, loader_conf, err);

	if (r < 0)
		return r;
	q.esp_size = esp_size(parts);
	return ul_disk_layout(&q, &parts->layout, err);
}

/* ---- the bytes ---- */

/* Where on the disk a stretch goes. */
struct target {
	const struct ul_disk_sink *sink;
	uint64_t offset; /* bytes */
	bool failed;     /* it, not what is read */
};

static int put(void *user, const uint8_t *bytes, size_t len, uint64_t done)
{
	struct target *t = user;
	int r = t->sink->put(t->sink->user, bytes, len, t->offset + done);

	t->failed = r < 0;
	return r;
}

/* A stretch that is copied from a file. */
struct stretch {
	int fd;
	const char *path;
	uint64_t offset, size; /* bytes */
};

static int copy(const struct ul_disk_parts *parts, const struct stretch *from, uint64_t to,
		const struct ul_disk_sink *sink, struct ul_error *err)
{
	struct target target = {.sink = sink, .offset = to};
	int r = ul_copy_range(&(struct ul_copy_range){
		.from = from->fd,
		.offset = from->offset,
		.size = from->size,
		.step = "copying",
		.progress = sink->progress,
		.cancelled = sink->cancelled,
		.piece = put,
		.user = &target,
	});

	if (r == -ECANCELED)
		return ul_error_set(err, UL_E_SYSTEM, parts->what, sink->disk, NULL, "%s", sink->interrupted);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, parts->what, target.failed ? sink->disk : from->path, NULL, -r)
		     : 0;
}

/* What is derived from the image's root hash is the same in each build, and differs between images. */
static int derive_uuid(const struct ul_disk_parts *parts, const char *label, unsigned int number, uint8_t ret[16],
		       struct ul_error *err)
{
	char text[64];

	snprintf(text, sizeof(text), "disk-%s-%u", label, number);
	return ul_image_derive_uuid(text, parts->image.d.root_hash, parts->image.d.root_hash_len, ret) < 0
		       ? ul_error_nomem(err, parts->what)
		       : 0;
}

int ul_disk_parts_make_esp(const struct ul_disk_parts *parts, const char *path, struct ul_error *err)
{
	struct ul_esp esp = {.size = parts->layout.esp.size,
			     .sector = parts->spec.sector,
			     .files = parts->files,
			     .n = parts->n_files};
	uint8_t uuid[16];
	int r = derive_uuid(parts, "esp", 0, uuid, err);

	esp.volume = r == 0 ? ul_get_le32(uuid) : 0;
	return r < 0 ? r : ul_esp_make(path, &esp, err);
}

int ul_disk_parts_copy_esp(const struct ul_disk_parts *parts, const char *path, const struct ul_disk_sink *sink,
			   struct ul_error *err)
{
	ul_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stretch from = {fd, path, 0, parts->layout.esp.size};

	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, parts->what, path, NULL, errno);
	return copy(parts, &from, parts->layout.esp.offset, sink, err);
}

int ul_disk_parts_copy_slot(const struct ul_disk_parts *parts, const struct ul_disk_sink *sink, struct ul_error *err)
{
	const struct ul_disk_slot_layout *l = &parts->layout.slot[0];
	const struct ul_slot *s = parts->image.slot;
	const struct {
		uint64_t from, size, to;
	} part[] = {
		{s->data.offset, parts->image.data_size, l->data.offset},
		{s->hash.offset, parts->image.hash_size, l->hash.offset},
		{s->sig.offset, l->sig.size, l->sig.offset},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(part) && parts->layout.slots > 0; i++) {
		struct stretch from = {parts->image.fd, parts->image.path, part[i].from, part[i].size};

		r = copy(parts, &from, part[i].to, sink, err);
	}
	return r;
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

static int add_slot_rows(const struct ul_disk_parts *parts, unsigned int i, const struct ul_partition_types *types,
			 struct rows *rows, struct ul_error *err)
{
	const struct ul_disk_slot_layout *l = &parts->layout.slot[i];
	const char *label = i == 0 ? parts->image.label : UL_SLOT_LABEL_FREE;
	struct ul_gpt_entry *e[3] = {
		add_row(rows, types->data, label, l->data),
		add_row(rows, types->verity, label, l->hash),
		add_row(rows, types->verity_sig, label, l->sig),
	};
	int r = 0;

	for (unsigned int k = 0; k < 3 && r == 0; k++) {
		e[k]->read_only = i == 0;
		r = derive_uuid(parts, "slot", 3 * i + k, e[k]->uuid, err);
	}
	if (r == 0 && i == 0 &&
	    ul_image_partition_uuids(parts->image.d.root_hash, parts->image.d.root_hash_len, e[0]->uuid, e[1]->uuid) <
		    0)
		r = ul_error_set(err, UL_E_DESCRIPTOR, parts->what, parts->spec.image, NULL,
				 "its root hash is too short");
	return r;
}

int ul_disk_parts_table_uuid(const struct ul_disk_parts *parts, uint8_t ret[16], struct ul_error *err)
{
	return derive_uuid(parts, "table", 0, ret, err);
}

int ul_disk_parts_write_table(const struct ul_disk_parts *parts, int fd, const char *path, struct ul_error *err)
{
	const struct ul_disk_layout *l = &parts->layout;
	struct rows rows = {.n = 0};
	struct ul_gpt_table table = {.sector = parts->spec.sector, .entries = rows.at};
	int r = derive_uuid(parts, "esp", 0, add_row(&rows, UL_DISK_TYPE_ESP, "esp", l->esp)->uuid, err);

	for (unsigned int i = 0; r == 0 && i < l->slots; i++)
		r = add_slot_rows(parts, i, parts->image.types, &rows, err);
	if (r == 0)
		r = derive_uuid(parts, "trials", 0, add_row(&rows, UL_TRIAL_PARTITION_TYPE, "trials", l->trials)->uuid,
				err);
	if (r == 0 && l->upper.size)
		r = derive_uuid(parts, "upper", 0, add_row(&rows, UL_DISK_TYPE_UPPER, "upper", l->upper)->uuid, err);
	if (r == 0)
		r = ul_disk_parts_table_uuid(parts, table.uuid, err);
	table.n = rows.n;
	return r < 0 ? r : ul_gpt_write(fd, path, &table, err);
}

/* ---- the summary ---- */

void ul_disk_parts_tell(const struct ul_disk_parts *parts, struct ul_disk_result *ret)
{
	*ret = (struct ul_disk_result){
		.layout = parts->layout, .sector = parts->spec.sector, .is_signed = parts->image.is_signed};
	snprintf(ret->name, sizeof(ret->name), "%s", parts->image.d.name);
	snprintf(ret->version, sizeof(ret->version), "%s", parts->image.d.version);
	memcpy(ret->uki_path, parts->paths[parts->uki], sizeof(ret->uki_path));
}
