/*
 * The JSON in the verity-sig partition, which carries the signatures: detached PKCS#7 in DER, as the kernel's
 * dm-verity, systemd and Nix images use it. systemd's members are rootHash, certificateFingerprint and signature;
 * ours are underlay.descriptor and underlay.signature. verity/image/signer.h makes signatures, verity/open/trust.h
 * checks them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

/* The content of a verity-sig partition, parsed but not yet believed in anything. */
struct ul_signature_blob {
	char *root_hash;         /* lower-case hex as it stands in the JSON */
	uint8_t fingerprint[32]; /* SHA-256 of the certificate in DER; a hint only */
	bool has_fingerprint;
	struct ul_buffer signature;                        /* PKCS#7 DER over the root hash's hex text */
	struct ul_buffer descriptor, descriptor_signature; /* empty: a foreign image */
};

#define UL_SIGNATURE_PARTITION_MAX (1024 * 1024) /* bytes that are read of the partition at most */

/*
 * Parse the partition's bytes: JSON, then NULs (systemd pads so) to the end. Hostile input: bounded
 * in size and depth. -UL_E_SIGNATURE with the reason (an all-zero partition is "empty").
 */
int ul_signature_parse(const void *data, size_t len, struct ul_signature_blob *ret, struct ul_error *err);
void ul_signature_free(struct ul_signature_blob *blob);

/* The JSON text, appended to *ret: members in fixed order, so that it is reproducible. */
int ul_signature_format(const struct ul_signature_blob *blob, struct ul_buffer *ret, struct ul_error *err);
