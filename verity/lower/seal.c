/* Which slot is wanted, and whether it is trusted: what is judged before anything of the image is used. */
#include <string.h>

#include "verity/lower/judge.h"

bool ul_judge_label(const struct ul_slot *slot, const char *name)
{
	return !name || !strcmp(name, slot->name);
}

int ul_judge_no_label(const char *where, const char *other, struct ul_error *err)
{
	return ul_error_set(err, UL_E_NO_IMAGE, "looking for an image", where,
			    "Install the image, or correct [image] name.", "there is only %s", other);
}

/* A label can be rewritten by whoever has the disk; the name in the descriptor is signed. */
static int check_name(const struct ul_slot *slot, const char *name, const struct ul_descriptor *d, struct ul_error *err)
{
	/* No name where nobody vouches for one: the pinned root hash, or the kernel's check, says more. */
	if (!name || !d->name[0] || !strcmp(name, d->name))
		return 0;
	return ul_error_set(err, UL_E_NO_IMAGE, "checking the image's name", slot->data.device,
			    "Install the image that this machine is meant to start.",
			    "its label says %s, but the signed name is %s", name, d->name);
}

int ul_judge_seal(const struct ul_slot *slot, const struct ul_requirements *demands, struct ul_seal *ret,
		  struct ul_error *err)
{
	struct ul_seal_policy policy = demands->seal;
	struct ul_seal seal = {0};
	int r;

	/* A pinned image needs no signature, and a descriptor without one says nothing. */
	if (policy.mode == UL_VERIFY_PINNED)
		policy.descriptor_required = false;
	r = ul_seal_decide(slot, &policy, &seal, err);
	if (r < 0)
		return r;
	r = check_name(slot, demands->name, &seal.d, err);
	if (r < 0) {
		ul_seal_free(&seal);
		return r;
	}
	*ret = seal;
	return 0;
}
