#include "tests/unit/make_identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static FILE *create(const char *dir, const char *name, const char *suffix, char path[96])
{
	FILE *f;

	snprintf(path, 96, "%s/%s%s", dir, name, suffix);
	f = fopen(path, "w");
	assert_non_null(f);
	return f;
}

void make_identity(const char *dir, const char *name, struct ul_signer **ret, struct ul_trust **ret_trust)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	char key_path[96], cert_path[96];
	FILE *f;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, subject);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	f = create(dir, name, ".key", key_path);
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	f = create(dir, name, ".crt", cert_path);
	assert_true(PEM_write_X509(f, cert));
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
	assert_int_equal(ul_signer_load(key_path, cert_path, NULL, ret, NULL), 0);
	if (ret_trust)
		assert_int_equal(ul_trust_load_file(cert_path, ret_trust, NULL), 0);
}
