#include "verity/disk/source_image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/number.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/format/image_layout.h"
#include "verity/image/seal_write.h"

static const char TODO_IMAGE[] = "Give an image as `underlay image build` makes it.";

/* The descriptor, whether it is signed already or not. */
static int read_descriptor(struct ul_source_image *image, const char *what, struct ul_error *err)
{
	struct ul_tbs tbs = {0};
	int r;

	if (!image->slot->sig.device || image->slot->sig.size < UL_SIG_PARTITION_SIZE)
		return ul_error_set(err, UL_E_INPUT, what, image->path, TODO_IMAGE,
				    "it has no signature partition of %u bytes", UL_SIG_PARTITION_SIZE);
	r = ul_tbs_pread(image->fd, image->slot->sig.offset, image->path, &tbs, &image->d, err);
	ul_tbs_free(&tbs);
	return r;
}

/* The sizes that it gives, and the label. */
static int measure(struct ul_source_image *image, const char *what, struct ul_error *err)
{
	const struct ul_descriptor *d = &image->d;
	int r = ul_file_size(image->fd, &image->size);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, image->path, NULL, -r);
	image->data_size = d->data_blocks * d->data_block_size;
	image->hash_size = d->hash_start + ul_hash_tree_size(d) + ul_fec_size(d);
	if (image->data_size > image->slot->data.size || image->hash_size > image->slot->hash.size)
		return ul_error_set(err, UL_E_INPUT, what, image->path, "Build the image again.",
				    "its partitions are smaller than its descriptor says");
	snprintf(image->label, sizeof(image->label), "%s_%s", d->name, d->version);
	if (strlen(image->label) > UL_GPT_LABEL_MAX)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, image->path, NULL,
				    "its NAME_VERSION has %zu characters, a partition's label has room for %u",
				    strlen(image->label), UL_GPT_LABEL_MAX);
	return 0;
}

/* Where the partition lies on its disk, in bytes, as the kernel has it; UINT64_MAX: that is not known. */
static uint64_t start_of(const char *device)
{
	char path[PATH_MAX];
	uint64_t sectors;
	struct stat st;

	if (!device || stat(device, &st) < 0 || !S_ISBLK(st.st_mode))
		return UINT64_MAX;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/start", major(st.st_rdev), minor(st.st_rdev));
	return ul_read_number_file(AT_FDCWD, path, &sectors) == 0 ? sectors * 512 : UINT64_MAX;
}

static const struct ul_slot_view *find(const struct ul_image_view *view, const struct ul_source_pick *pick)
{
	uint64_t start = start_of(pick->device);
	const struct ul_slot_view *found = NULL;

	for (size_t i = 0; i < view->slots.n; i++) {
		const struct ul_slot_view *v = &view->views[i];

		if (v->no_descriptor[0] || v->descriptor.root_hash_len != pick->root_hash_len ||
		    memcmp(v->descriptor.root_hash, pick->root_hash, pick->root_hash_len) != 0)
			continue;
		if (!found || v->slot->data.offset == start)
			found = v;
	}
	return found;
}

static int choose(const struct ul_source_image *image, const struct ul_source_pick *pick, const char *what,
		  const struct ul_slot_view **ret, struct ul_error *err)
{
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	int r;

	if (!pick) {
		r = ul_image_one_slot(&image->view.slots, what, image->path, TODO_IMAGE, err);
		*ret = r < 0 ? NULL : &image->view.views[0];
		return r;
	}
	*ret = find(&image->view, pick);
	if (*ret)
		return 0;
	ul_hex_encode(pick->root_hash, pick->root_hash_len, hex);
	return ul_error_set(err, UL_E_NO_IMAGE, what, image->path, TODO_IMAGE,
			    "it holds no store image whose root hash is %s", hex);
}

int ul_source_image_open_one(const char *path, const struct ul_source_pick *pick, const char *what,
			     struct ul_source_image *ret, struct ul_error *err)
{
	const struct ul_slot_view *v = NULL;
	int r;

	*ret = (struct ul_source_image){.path = path, .fd = -1};
	r = ul_image_view(path, &ret->view, err);
	if (r == 0)
		r = choose(ret, pick, what, &v, err);
	if (r < 0 || !v)
		return r;
	ret->slot = v->slot;
	ret->types = v->types;
	ret->is_signed = v->no_signature.code == 0 && v->blob.signature.len > 0;
	ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (ret->fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, errno);
	r = read_descriptor(ret, what, err);
	return r < 0 ? r : measure(ret, what, err);
}

int ul_source_image_open(const char *path, const char *what, struct ul_source_image *ret, struct ul_error *err)
{
	return ul_source_image_open_one(path, NULL, what, ret, err);
}

int ul_source_image_check_uki(const struct ul_source_image *image, const char *what, const char *uki,
			      const char *architecture, struct ul_error *err)
{
	if (strcmp(architecture, image->types->architecture) == 0)
		return 0;
	return ul_error_set(err, UL_E_INPUT, what, uki, "Give the two of one machine.",
			    "it is for %s, the image %s is for %s", architecture, image->path,
			    image->types->architecture);
}

void ul_source_image_close(struct ul_source_image *image)
{
	ul_image_view_free(&image->view);
	ul_cleanup_close(&image->fd);
	image->fd = -1;
}
