#include "initrd/policy/demands.h"

static const char *set(const char *text)
{
	return text && *text ? text : NULL;
}

struct ul_demands ul_policy_demands(const struct ul_policy *p, const struct ul_trust *trust)
{
	return (struct ul_demands){
		.seal = {.mode = (enum ul_verify_mode)p->verify_mode,
			 .trust = trust,
			 .pinned_root_hash = p->pinned_len ? p->pinned : NULL,
			 .pinned_root_hash_len = p->pinned_len,
			 .descriptor_required = p->descriptor == 0,
			 .rollback_min = p->rollback_min},
		.name = set(p->name),
		.pin_names_image = p->pinned_len > 0 && p->pin_trusted,
		.filesystems = p->filesystems,
		.manifest_required = p->manifest == 0,
		.registration = set(p->registration),
		.system = set(p->system),
		.init = set(p->init),
		.wanted_init = set(p->wanted_init),
		.attach = p->database == UL_DATABASE_ATTACH,
	};
}
