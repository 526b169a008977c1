/*
 * Stage verify. Before: the last of b->lowers has a slot that nothing vouches for. After: its root hash is
 * trusted as the policy demands, dm-verity is active over it by parameters that are trusted too, and a
 * first block was read through it. On failure the mapping is gone again.
 *
 * Where the policy's mode is insecure, before: the last of b->lowers is a directory that the host shares. After:
 * nothing is verified, and everybody who looks at the console has been told.
 */
#include <stdio.h>
#include <string.h>

#include "common/encoding.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/base/titles.h"
#include "initrd/policy/requirements.h"
#include "initrd/stages/stages.h"
#include "initrd/stages/verify.h"
#include "verity/open/read_error.h"

static void tell(const struct ul_boot *b, const struct ul_lower *lower)
{
	const struct ul_seal *seal = &lower->seal;
	char hex[2 * UL_ROOT_HASH_MAX + 1], title[UL_TITLE_SIZE], by_whom[700] = "pinned";

	switch ((enum ul_verify_mode)b->policy.verify_mode) {
	case UL_VERIFY_PINNED:
		break;
	case UL_VERIFY_USER:
		snprintf(by_whom, sizeof(by_whom), "signed by %s", seal->by.subject);
		break;
	case UL_VERIFY_KERNEL:
		snprintf(by_whom, sizeof(by_whom), "signature checked by the kernel (key %s of %s)",
			 seal->kernel_by.serial, seal->kernel_by.issuer);
		break;
	case UL_VERIFY_BOTH:
		snprintf(by_whom, sizeof(by_whom), "signed by %s, checked by the kernel too (key %s of %s)",
			 seal->by.subject, seal->kernel_by.serial, seal->kernel_by.issuer);
		break;
	}

	ul_hex_encode(lower->seal.d.root_hash, lower->seal.d.root_hash_len, hex);
	ul_slot_title(&lower->slot, title, sizeof(title));
	ul_log(UL_LOG_INFO, "verify: %s: root hash %.16s..., %s", title, hex, by_whom);
}

/* Errors, so that neither `quiet` nor the policy's [log] level hides them. */
static void warn_insecure(const struct ul_lower *lower)
{
	static const char line[] = "**************************************************************";

	ul_log(UL_LOG_ERROR, "verify: %s", line);
	ul_log(UL_LOG_ERROR, "verify: *** INSECURE: NOTHING OF THIS SYSTEM IS VERIFIED ***");
	ul_log(UL_LOG_ERROR, "verify: The store is the directory that the host shares as %s: whoever", lower->device);
	ul_log(UL_LOG_ERROR, "verify: writes to it there, now or later, decides what runs here as root.");
	ul_log(UL_LOG_ERROR, "verify: The policy says [verify] mode = insecure: for development only.");
	ul_log(UL_LOG_ERROR, "verify: %s", line);
}

int ul_verify_decide(const struct ul_boot *b, struct ul_lower *lower, struct ul_error *err)
{
	struct ul_requirements wanted = ul_policy_requirements(&b->policy, b->trust);
	const struct ul_descriptor *d = &lower->seal.d;
	int r = ul_judge_seal(&lower->slot, &wanted, &lower->seal, err);

	if (r < 0)
		return r;
	lower->sealed = true;
	r = ul_demands_meets_seal(b->policy.demands, &lower->slot, &lower->seal, err);
	if (r < 0)
		return r;
	/* From here on it is called by its signed name, where it has one. */
	if (d->name[0]) {
		memcpy(lower->slot.name, d->name, sizeof(lower->slot.name));
		memcpy(lower->slot.version, d->version, sizeof(lower->slot.version));
	}
	return 0;
}

static int refuse_kind(const struct ul_lower *lower, enum ul_policy_mode mode, struct ul_error *err)
{
	char title[UL_TITLE_SIZE];

	ul_lower_title(lower, title, sizeof(title));
	return ul_error_set(err, UL_E_CONFIG, "choosing what to verify", title,
			    "Set [verify] mode = insecure for a shared directory, another mode for an image.",
			    "the policy's [verify] mode = %s starts %s only", ul_policy_mode_words[mode],
			    mode == UL_POLICY_INSECURE ? "a shared directory" : "a verified image");
}

int ul_stage_verify(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	const struct ul_policy *p = &b->policy;
	bool insecure = p->verify_mode == UL_POLICY_INSECURE;
	bool by_kernel = p->verify_mode == UL_POLICY_KERNEL || p->verify_mode == UL_POLICY_BOTH;
	struct ul_verity_want want = {
		.slot = &lower->slot,
		.seal = &lower->seal,
		.kernel_signature = by_kernel,
		.corruption = (enum ul_corruption_mode)p->corruption,
	};
	char mapping[sizeof(lower->mapping)] = "underlay";
	int r;

	/* The two come together or not at all, whatever stage find did. */
	if (insecure != lower->shared || insecure == lower->has_slot)
		return refuse_kind(lower, p->verify_mode, err);
	if (insecure) {
		warn_insecure(lower);
		return 0;
	}
	r = ul_verify_decide(b, lower, err);
	if (r < 0)
		return r;
	ul_log(UL_LOG_DEBUG, "verify: the root hash is trusted");
	if (b->n_lowers > 1)
		snprintf(mapping, sizeof(mapping), "underlay-%zu", b->n_lowers - 1);
	r = ul_verity_activate(mapping, &want, err);
	if (r < 0)
		return r;
	if (by_kernel)
		(void)ul_signature_claim(lower->seal.root_hash_signature.data, lower->seal.root_hash_signature.len,
					 &lower->seal.kernel_by);
	memcpy(lower->mapping, mapping, sizeof(mapping));
	r = ul_verity_set_read_error(mapping, &lower->seal, (enum ul_corruption_mode)p->read_error, err);
	if (r < 0)
		return r;
	snprintf(lower->device, sizeof(lower->device), "%s/mapper/%s", b->dev_dir, mapping);
	tell(b, lower);
	return 0;
}
