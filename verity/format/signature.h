/*
 * Signatures: detached PKCS#7 in DER (what the kernel's dm-verity, systemd and Nix images use), and the JSON
 * in the verity-sig partition that carries them (systemd's format: rootHash, certificateFingerprint,
 * signature; ours: underlay.descriptor, underlay.signature).
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

/* A private key and its certificate, both PEM (a key in PEM may be encrypted: passphrase may be NULL). */
struct ul_signer;
int ul_signer_load(const char *key_path, const char *cert_path, const char *passphrase, struct ul_signer **ret,
		   struct ul_error *err);
void ul_signer_free(struct ul_signer *s);

/* SHA-256 of the signer's certificate: what certificateFingerprint holds. false: libcrypto failed. */
bool ul_signer_fingerprint(const struct ul_signer *s, uint8_t ret[32]);

/* Detached, binary, no attributes, no certificates: same input, same bytes for RSA. */
int ul_signer_sign(struct ul_signer *s, const void *data, size_t len, struct ul_buffer *ret_der, struct ul_error *err);

/*
 * The private key, unencrypted, as PEM, appended to *ret_pem: for a program that signs what this one cannot. Wipe it.
 */
int ul_signer_export_key(struct ul_signer *s, struct ul_buffer *ret_pem, struct ul_error *err);

/* Certificates that may sign. */
struct ul_trust;

/*
 * Load every *.crt (PEM) of a directory, in name order. No directory and none inside are no failure here:
 * ul_trust_count tells. A file that is no certificate is -UL_E_CONFIG.
 */
int ul_trust_load_dir(int dirfd, const char *path, struct ul_trust **ret, struct ul_error *err);
int ul_trust_load_file(const char *path, struct ul_trust **ret, struct ul_error *err);
size_t ul_trust_count(const struct ul_trust *t);
void ul_trust_free(struct ul_trust *t);

/* Who signed: for messages and state.json. */
struct ul_signer_name {
	char subject[256];    /* "CN=Appliance Signing" */
	char fingerprint[65]; /* SHA-256 of the certificate, hex */
};

/*
 * Verify a detached PKCS#7 over data by one of the trusted certificates: exactly one signer, digest SHA-256,
 * SHA-384 or SHA-512, RSA of 2048 bits or more, or ECDSA. Validity dates are not looked at (as systemd does:
 * a device without a clock must boot). what: "root hash", "descriptor".
 * -UL_E_SIGNER: a well-formed signature by none of them; -UL_E_SIGNATURE: all else. ret_by may be NULL.
 */
int ul_trust_verify(const struct ul_trust *t, const void *data, size_t len, const void *der, size_t der_len,
		    const char *what, struct ul_signer_name *ret_by, struct ul_error *err);

/* Whom a signature names as its maker. A claim, until somebody has verified it by that key. */
struct ul_signer_claim {
	char subject[256];    /* of the certificate enclosed; "" where none is */
	char fingerprint[65]; /* SHA-256 of the same, hex; "" */
	char issuer[256];     /* of the certificate */
	char serial[65];      /* of the certificate, upper-case hex */
};

/* What a PKCS#7 in DER says of its first signer. Hostile input. false: it is no such thing. */
bool ul_signature_claim(const void *der, size_t len, struct ul_signer_claim *ret);
