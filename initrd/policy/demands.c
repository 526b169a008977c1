#include "initrd/policy/demands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/encoding.h"

struct ul_demands {
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len; /* bytes; 0: any */
	uint64_t rollback_min;
	char *init; /* owned; NULL: any */
};

static int need(struct ul_demands **d)
{
	if (!*d)
		*d = calloc(1, sizeof(**d));
	return *d ? 0 : -ENOMEM;
}

int ul_demand_root_hash(struct ul_demands **d, const uint8_t *root_hash, size_t len)
{
	int r = need(d);

	if (r < 0)
		return r;
	if ((*d)->root_hash_len && ((*d)->root_hash_len != len || memcmp((*d)->root_hash, root_hash, len) != 0))
		return -EEXIST;
	memcpy((*d)->root_hash, root_hash, len);
	(*d)->root_hash_len = len;
	return 0;
}

int ul_demand_rollback_min(struct ul_demands **d, uint64_t floor)
{
	int r = need(d);

	if (r < 0)
		return r;
	if (floor < (*d)->rollback_min)
		return -ERANGE;
	(*d)->rollback_min = floor;
	return 0;
}

int ul_demand_init(struct ul_demands **d, const char *path)
{
	char *copy = need(d) == 0 ? strdup(path) : NULL;

	if (!copy)
		return -ENOMEM;
	free((*d)->init);
	(*d)->init = copy;
	return 0;
}

void ul_demands_free(struct ul_demands *d)
{
	if (d)
		free(d->init);
	free(d);
}

bool ul_demands_of_image(const struct ul_demands *d)
{
	return d && (d->root_hash_len || d->rollback_min);
}

static int meets_root_hash(const struct ul_demands *d, const struct ul_slot *slot, const struct ul_descriptor *image,
			   struct ul_error *err)
{
	char hex[2 * UL_ROOT_HASH_MAX + 1], wanted[2 * UL_ROOT_HASH_MAX + 1];

	if (!d->root_hash_len ||
	    (d->root_hash_len == image->root_hash_len && memcmp(d->root_hash, image->root_hash, d->root_hash_len) == 0))
		return 0;
	ul_hex_encode(image->root_hash, image->root_hash_len, hex);
	ul_hex_encode(d->root_hash, d->root_hash_len, wanted);
	return ul_error_set(err, UL_E_ROOT_HASH, "checking the root hash", slot->disk,
			    "Install the image that the command line names, or remove the root hash from it.",
			    "the image has %.16s..., the command line demands %.16s...", hex, wanted);
}

static int meets_floor(const struct ul_demands *d, const struct ul_slot *slot, const struct ul_seal *seal,
		       struct ul_error *err)
{
	static const char what[] = "checking the rollback index";
	const char *object = slot->sig.device ? slot->sig.device : slot->disk;

	if (d->rollback_min == 0)
		return 0;
	if (!seal->vouched)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, object,
				    "Remove the rollback index from the kernel command line.",
				    "the command line has a rollback floor, and nobody vouches for an index of this "
				    "image");
	if (seal->d.rollback_index < d->rollback_min)
		return ul_error_set(err, UL_E_ROLLBACK, what, object, "Install a newer image.",
				    "the image has %" PRIu64 ", the command line's floor is %" PRIu64,
				    seal->d.rollback_index, d->rollback_min);
	return 0;
}

int ul_demands_meets_seal(const struct ul_demands *d, const struct ul_slot *slot, const struct ul_seal *seal,
			  struct ul_error *err)
{
	int r = d ? meets_root_hash(d, slot, &seal->d, err) : 0;

	return r == 0 && d ? meets_floor(d, slot, seal, err) : r;
}

int ul_demands_meets_init(const struct ul_demands *d, const char *path, struct ul_error *err)
{
	if (!d || !d->init || strcmp(d->init, path) == 0)
		return 0;
	return ul_error_set(err, UL_E_CMDLINE, "checking init= of the command line", d->init,
			    "Remove init= from the command line.", "this image starts %s", path);
}
