/* Collecting what an image says of itself. Reads the tables and a few blocks; believes nothing. */
#include "verity/locate/image_view.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "verity/format/partition_types.h"
#include "verity/format/superblock.h"

static const char WHAT[] = "inspecting the image";

/* names NULL: all that libblkid knows. */
static void probe_type(int fd, uint64_t offset, uint64_t size, char **names, char ret[32])
{
	blkid_probe probe = blkid_new_probe();
	const char *type;

	ret[0] = '\0';
	if (!probe)
		return;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
	if (blkid_probe_set_device(probe, fd, (blkid_loff_t)offset, (blkid_loff_t)size) == 0 &&
	    (!names || blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_ONLYIN, names) == 0) &&
	    blkid_do_safeprobe(probe) == 0 && blkid_probe_lookup_value(probe, "TYPE", &type, NULL) == 0)
		snprintf(ret, 32, "%s", type);
	blkid_free_probe(probe);
}

void ul_filesystem_type(int fd, uint64_t offset, uint64_t size, char ret[32])
{
	char names[][10] = {"erofs", "squashfs", "ext4"};
	char *only[] = {names[0], names[1], names[2], NULL};

	probe_type(fd, offset, size, only, ret);
}

void ul_content_type(int fd, uint64_t offset, uint64_t size, char ret[32])
{
	probe_type(fd, offset, size, NULL, ret);
}

int ul_image_slots(const char *image, const char *root_hash, struct ul_slot_list *ret, struct ul_error *err)
{
	struct ul_slot_list list = {0};
	int r;

	for (const struct ul_partition_types *t = ul_partition_types; t->architecture; t++) {
		r = ul_slots_probe_types(image, NULL, t, root_hash, &list, err);
		if (r < 0) {
			ul_slots_free(&list);
			return r;
		}
	}
	ul_slots_sort(&list);
	*ret = list;
	return 0;
}

int ul_image_one_slot(const struct ul_slot_list *list, const char *what, const char *image, const char *todo,
		      struct ul_error *err)
{
	if (list->n == 0)
		return ul_error_set(err, UL_E_NO_IMAGE, what, image, "Build one by `underlay image build`.",
				    "it holds no store image");
	return list->n == 1 ? 0
			    : ul_error_set(err, UL_E_PARTITIONS, what, image, todo,
					   "it holds %zu store images, not one", list->n);
}

static void view_signature(int fd, struct ul_slot_view *v)
{
	const struct ul_extent *e = &v->slot->sig;
	size_t len = e->size < UL_SIGNATURE_PARTITION_MAX ? (size_t)e->size : UL_SIGNATURE_PARTITION_MAX;
	ul_autofree uint8_t *bytes = NULL;
	struct ul_error reason = {0};
	int r;

	if (!e->device) {
		ul_error_set(&v->no_signature, UL_E_SIGNATURE, NULL, NULL, NULL, "there is no signature partition");
		return;
	}
	bytes = malloc(len + 1);
	r = bytes ? ul_pread_full(fd, bytes, len, e->offset) : -ENOMEM;
	if (r < 0) {
		ul_error_errno(&v->no_signature, UL_E_SYSTEM, NULL, NULL, NULL, -r);
		return;
	}
	if (ul_signature_parse(bytes, len, &v->blob, &v->no_signature) < 0)
		return;
	v->no_signature = (struct ul_error){0};
	if (v->blob.descriptor.len == 0)
		snprintf(v->no_descriptor, sizeof(v->no_descriptor), "there is none: the image is foreign");
	else if (ul_descriptor_parse(v->blob.descriptor.data, v->blob.descriptor.len, &v->descriptor, &reason) < 0)
		memcpy(v->no_descriptor, reason.why, sizeof(v->no_descriptor));
}

static void view_superblock(int fd, struct ul_slot_view *v)
{
	uint8_t bytes[UL_SUPERBLOCK_SIZE];
	struct ul_error reason = {0};

	if (v->slot->hash.size < sizeof(bytes) || ul_pread_full(fd, bytes, sizeof(bytes), v->slot->hash.offset) < 0)
		snprintf(v->no_superblock, sizeof(v->no_superblock), "it cannot be read");
	else if (ul_superblock_parse(bytes, v->slot->disk, &v->superblock, NULL, &reason) < 0)
		memcpy(v->no_superblock, reason.why, sizeof(v->no_superblock));
}

/* The row of the slot's data partition: the slot itself does not keep its type. */
static void view_type(const struct ul_gpt *gpt, struct ul_slot_view *v)
{
	for (size_t i = 0; i < gpt->n; i++) {
		if (gpt->partitions[i].offset != v->slot->data.offset)
			continue;
		for (const struct ul_partition_types *t = ul_partition_types; t->architecture; t++)
			if (strcmp(t->data, gpt->partitions[i].type) == 0) {
				v->types = t;
				v->architecture = t->architecture;
				v->designator = t->designator;
			}
	}
}

static int fill(int fd, const char *image, struct ul_image_view *view, struct ul_error *err)
{
	int r = ul_gpt_read(fd, image, &view->gpt, err);

	if (r < 0)
		return r;
	if (!view->gpt.present)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, image, NULL, "it has no partition table (GPT)");
	view->copies_equal = ul_gpt_check_copies(fd, image, &view->copies) == 0;
	r = ul_image_slots(image, NULL, &view->slots, err);
	if (r < 0)
		return r;
	view->views = calloc(view->slots.n + 1, sizeof(*view->views));
	if (!view->views)
		return ul_error_nomem(err, WHAT);
	for (size_t i = 0; i < view->slots.n; i++) {
		struct ul_slot_view *v = &view->views[i];

		v->slot = &view->slots.at[i];
		view_type(&view->gpt, v);
		view_signature(fd, v);
		if (v->no_signature.code)
			snprintf(v->no_descriptor, sizeof(v->no_descriptor), "no signature can be read");
		view_superblock(fd, v);
		ul_filesystem_type(fd, v->slot->data.offset, v->slot->data.size, v->filesystem);
	}
	return 0;
}

int ul_image_view(const char *image, struct ul_image_view *ret, struct ul_error *err)
{
	/* O_NONBLOCK: a pipe must not keep us waiting. */
	ul_autoclose int fd = open(image, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct ul_image_view view = {0};
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, WHAT, image, NULL, errno);
	r = fill(fd, image, &view, err);
	if (r < 0) {
		ul_image_view_free(&view);
		return r;
	}
	*ret = view;
	return 0;
}

void ul_image_view_free(struct ul_image_view *view)
{
	for (size_t i = 0; view->views && i < view->slots.n; i++)
		ul_signature_free(&view->views[i].blob);
	free(view->views);
	ul_slots_free(&view->slots);
	ul_gpt_free(&view->gpt);
	*view = (struct ul_image_view){0};
}
