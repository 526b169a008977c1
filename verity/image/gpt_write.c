#include "verity/image/gpt_write.h"

#include <errno.h>
#include <libfdisk/libfdisk.h>
#include <string.h>

#include "common/cleanup.h"
#include "verity/format/image_layout.h"

static const char WHAT[] = "writing the partition table";

static void cleanup_context(struct fdisk_context **cxt)
{
	fdisk_unref_context(*cxt);
}

static void cleanup_partition(struct fdisk_partition **pa)
{
	fdisk_unref_partition(*pa);
}

static void cleanup_type(struct fdisk_parttype **type)
{
	fdisk_unref_parttype(*type);
}

/* libfdisk's functions return 0, -errno or 1; the last without a reason. */
static int fdisk_failed(int r, const char *image, const char *step, struct ul_error *err)
{
	return ul_error_set(err, UL_E_SYSTEM, WHAT, image, NULL, "libfdisk: %s: %s", step,
			    r < 0 ? strerror(-r) : "refused");
}

static int set_place(struct fdisk_partition *pa, size_t number, const struct ul_gpt_entry *e, uint32_t sector)
{
	int r = fdisk_partition_set_partno(pa, number);

	if (!r)
		r = fdisk_partition_set_start(pa, e->offset / sector);
	if (!r)
		r = fdisk_partition_set_size(pa, e->size / sector);
	/* Without this libfdisk rounds the size to its idea of a good alignment. */
	return r ? r : fdisk_partition_size_explicit(pa, 1);
}

static int add_entry(struct fdisk_context *cxt, size_t number, const struct ul_gpt_entry *e, uint32_t sector)
{
	UL_CLEANUP(cleanup_partition) struct fdisk_partition *pa = fdisk_new_partition();
	UL_CLEANUP(cleanup_type) struct fdisk_parttype *type = NULL;
	char uuid[37];
	int r;

	type = fdisk_label_parse_parttype(fdisk_get_label(cxt, "gpt"), e->type);
	if (!pa || !type)
		return -ENOMEM;
	ul_uuid_format(e->uuid, uuid);
	r = fdisk_partition_set_type(pa, type);
	if (!r)
		r = set_place(pa, number, e, sector);
	if (!r)
		r = fdisk_partition_set_uuid(pa, uuid);
	if (!r)
		r = fdisk_partition_set_name(pa, e->label);
	if (!r && e->read_only)
		r = fdisk_partition_set_attrs(pa, "GUID:60");
	return r ? r : fdisk_add_partition(cxt, pa, NULL);
}

static int new_table(struct fdisk_context *cxt, const uint8_t disk_uuid[16])
{
	char uuid[37];
	int r = fdisk_create_disklabel(cxt, "gpt");

	ul_uuid_format(disk_uuid, uuid);
	return r ? r : fdisk_set_disklabel_id_from_string(cxt, uuid);
}

/* An image file's table counts in the sectors that the caller wants, whatever disk the file lies on. */
static int assign(struct fdisk_context *cxt, int fd, const char *image, uint32_t sector, struct ul_error *err)
{
	int r;

	if (!cxt)
		return ul_error_nomem(err, WHAT);
	r = fdisk_save_user_sector_size(cxt, sector, sector);
	if (!r)
		r = fdisk_assign_device_by_fd(cxt, fd, image, 0);
	return r ? fdisk_failed(r, image, "opening it", err) : 0;
}

/* The descriptor stays the caller's: nothing is closed, only the context let go. */
static int write_out(struct fdisk_context *cxt, const char *image, struct ul_error *err)
{
	int r = fdisk_write_disklabel(cxt);

	if (r)
		return fdisk_failed(r, image, "writing", err);
	fdisk_deassign_device(cxt, 1);
	return 0;
}

int ul_gpt_write(int fd, const char *image, const struct ul_gpt_table *table, struct ul_error *err)
{
	UL_CLEANUP(cleanup_context) struct fdisk_context *cxt = fdisk_new_context();
	int r = assign(cxt, fd, image, table->sector, err);

	if (r < 0)
		return r;
	r = new_table(cxt, table->uuid);
	if (r)
		return fdisk_failed(r, image, "making an empty table", err);
	for (size_t i = 0; i < table->n; i++) {
		r = add_entry(cxt, i, &table->entries[i], table->sector);
		if (r)
			return fdisk_failed(r, image, "adding a partition", err);
	}
	return write_out(cxt, image, err);
}

static int change_entry(struct fdisk_context *cxt, const struct ul_gpt_change *change)
{
	UL_CLEANUP(cleanup_partition) struct fdisk_partition *pa = fdisk_new_partition();
	char uuid[37];
	int r;

	if (!pa)
		return -ENOMEM;
	ul_uuid_format(change->uuid, uuid);
	r = fdisk_partition_set_uuid(pa, uuid);
	if (!r)
		r = fdisk_partition_set_name(pa, change->label);
	if (!r)
		r = fdisk_partition_set_attrs(pa, change->read_only ? "GUID:60" : "");
	return r ? r : fdisk_set_partition(cxt, change->number - 1, pa);
}

int ul_gpt_change(int fd, const char *disk, uint32_t sector, const struct ul_gpt_change *changes, size_t n,
		  struct ul_error *err)
{
	UL_CLEANUP(cleanup_context) struct fdisk_context *cxt = fdisk_new_context();
	int r = assign(cxt, fd, disk, sector, err);

	if (r < 0)
		return r;
	if (!fdisk_is_label(cxt, GPT))
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, NULL, "it has no partition table (GPT)");
	for (size_t i = 0; i < n; i++) {
		if (!fdisk_is_partition_used(cxt, changes[i].number - 1))
			return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, NULL, "it has no partition %u",
					    changes[i].number);
		r = change_entry(cxt, &changes[i]);
		if (r)
			return fdisk_failed(r, disk, "changing a partition", err);
	}
	return write_out(cxt, disk, err);
}
