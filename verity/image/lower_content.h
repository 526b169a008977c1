/*
 * What the sealed filesystem holds, checked offline: it is judged as the boot judges it (verity/lower/judge.h), then
 * its documents are compared with each other, which the boot takes the signer's word for.
 */
#pragma once

#include <stdbool.h>

#include "verity/image/lower_mount.h"
#include "verity/image/work.h"
#include "verity/lower/judge.h"

struct ul_content_question {
	const struct ul_lower_view *lower;
	const struct ul_slot *slot;
	const struct ul_seal *seal;
	const struct ul_requirements *demands;
	/*
	 * Where neither the image nor demands names a system: pass over it, since the policy that is not known here may
	 * name one. Else that is -UL_E_NO_SYSTEM, as at boot.
	 */
	bool system_may_be_elsewhere;
	const struct ul_work *contents; /* hash every store path's NAR too, by this work; NULL: do not */
};

struct ul_content_result {
	struct ul_judged judged; /* system NULL: none is named; free with ul_judged_free */
	bool names;              /* the image has a names layer, and it is right; never a foreign one */
	bool database;           /* it has one, which is right */
	uint64_t nar_bytes;      /* hashed, where the contents were checked */
};

/*
 * Check the mounted lower. What the judge says; and where the image is ours -UL_E_MANIFEST (not the manifest of the
 * signed descriptor), -UL_E_IMAGE_INFO, -UL_E_NO_SYSTEM, -UL_E_DATABASE, -UL_E_CHECK (names layer, database, store).
 */
int ul_content_check(const struct ul_content_question *question, struct ul_content_result *ret, struct ul_error *err);
