/* The signing half: detached PKCS#7 in DER, by a private key and its certificate. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

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
