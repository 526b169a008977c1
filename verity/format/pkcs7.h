/* Certificates and keys, as verity/image/signer.c and verity/open/trust.c both need them. Internal to verity/. */
#pragma once

#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/error.h"

#define UL_PKCS7_MAX    (64 * 1024) /* bytes of a signature in DER, of a certificate or key in PEM */
#define UL_RSA_BITS_MIN 2048
#define UL_EC_BITS_MIN  256

/* The reason of libcrypto's first queued error, or `otherwise`; empties the queue. */
const char *ul_crypto_reason(const char *otherwise);

/*
 * The one certificate of a PEM file. code: the failure if the file is not a certificate (UL_E_CONFIG where
 * the policy named it, UL_E_INPUT where the user did). A file with two is refused: which one was meant?
 */
int ul_certificate_load(int dirfd, const char *path, enum ul_code code, const char *what, X509 **ret,
			struct ul_error *err);

/* The one certificate in the text of such a file; path is for messages. */
int ul_certificate_parse(const struct ul_buffer *text, const char *path, enum ul_code code, const char *what,
			 X509 **ret, struct ul_error *err);

/* Why a key is not accepted for signatures (kind, size); NULL: it is. buf holds the text. */
const char *ul_key_defect(EVP_PKEY *key, char *buf, size_t size);

/* SHA-256 of the certificate's DER. */
bool ul_certificate_fingerprint(X509 *cert, uint8_t ret[32]);

/* Subject or issuer as one line ("CN=Appliance Signing,O=Example"), cut to fit. */
void ul_name_text(const X509_NAME *name, char *buf, size_t size);

static inline void ul_cleanup_x509(X509 **cert)
{
	X509_free(*cert);
}

static inline void ul_cleanup_pkey(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static inline void ul_cleanup_bio(BIO **bio)
{
	BIO_free(*bio);
}

static inline void ul_cleanup_pkcs7(PKCS7 **p7)
{
	PKCS7_free(*p7);
}

#define ul_autox509  UL_CLEANUP(ul_cleanup_x509)
#define ul_autopkey  UL_CLEANUP(ul_cleanup_pkey)
#define ul_autobio   UL_CLEANUP(ul_cleanup_bio)
#define ul_autopkcs7 UL_CLEANUP(ul_cleanup_pkcs7)
