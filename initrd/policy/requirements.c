#include "initrd/policy/requirements.h"

struct ul_requirements ul_policy_requirements(const struct ul_policy *p, const struct ul_trust *trust)
{
	static char *const nothing[] = {NULL};

	return (struct ul_requirements){
		/* The modes have the same numbers: initrd/policy/choices.h. */
		.seal = {.mode = (enum ul_verify_mode)p->verify_mode,
			 .trust = trust,
			 .pinned_root_hash = p->pinned_len ? p->pinned : NULL,
			 .pinned_root_hash_len = p->pinned_len,
			 .descriptor_required = p->descriptor == UL_REQUIRED,
			 .rollback_min = p->rollback_min},
		.name = p->name,
		.pin_names_image = p->pinned_len > 0,
		.filesystems = p->filesystems ? p->filesystems : nothing,
		.manifest_required = p->manifest == UL_REQUIRED,
		.registration = p->registration,
		.system = p->system,
		.init = p->init,
		.attach = p->database == UL_DATABASE_ATTACH,
	};
}
