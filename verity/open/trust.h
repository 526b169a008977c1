/* The trusting half: certificates that may sign, and whether one of them signed these bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* Certificates that may sign. */
struct ul_trust;

/*
 * Load every *.crt (PEM) of a directory, in name order. A directory that is missing or empty is not a failure:
 * ul_trust_count tells. -UL_E_CONFIG: a file that is not a certificate.
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

/* Bytes, and what is said to be their signature. */
struct ul_signed {
	const char *what; /* "root hash", "descriptor": for messages */
	const void *data;
	size_t len;
	const void *der; /* detached PKCS#7 */
	size_t der_len;
};

/*
 * Verify a signature by one of the trusted certificates: exactly one signer, digest SHA-256,
 * SHA-384 or SHA-512, RSA of 2048 bits or more, or ECDSA. Validity dates are not looked at (as systemd does:
 * a device without a clock must boot).
 * -UL_E_SIGNER: well-formed, but not by one of them; -UL_E_SIGNATURE: all else. ret_by may be NULL.
 */
int ul_trust_verify(const struct ul_trust *t, const struct ul_signed *s, struct ul_signer_name *ret_by,
		    struct ul_error *err);

/* Whom a signature names as its maker. A claim, until somebody has verified it by that key. */
struct ul_signer_claim {
	char subject[256];    /* of the enclosed certificate; "": there is none */
	char fingerprint[65]; /* its SHA-256 in hex, or "" */
	char issuer[256];     /* of the certificate */
	char serial[65];      /* of the certificate, upper-case hex */
};

/* What a PKCS#7 in DER says of its first signer. Hostile input. false: it does not name one. */
bool ul_signature_claim(const void *der, size_t len, struct ul_signer_claim *ret);
