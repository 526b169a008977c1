/*
 * Signatures: made and trusted, and every way in which one must not be. Keys and certificates are made
 * afresh; malformed signatures are made by libcrypto with other options, or cut from good ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/file.h"
#include "common/encoding.h"
#include "verity/image/signer.h"
#include "verity/open/trust.h"

static const char data[] = "4d7d5b0b3f1c8f0e8a5d7f1d2d8e5b6c7a8f9e0d1c2b3a495867768594a3b2c1";

static struct {
	EVP_PKEY *key;
	X509 *cert;
	const char *name;
} ids[] = {{NULL, NULL, "rsa"}, {NULL, NULL, "other"}, {NULL, NULL, "weak"},
	   {NULL, NULL, "ec"},  {NULL, NULL, "ec384"}, {NULL, NULL, "twin"}};
enum { RSA_ID, OTHER, WEAK, EC_ID, EC384, TWIN, N_IDS };

static char dir[] = "/tmp/underlay-signature-XXXXXX";

static char *file_of(const char *name, const char *suffix)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s%s", dir, name, suffix);
	return path;
}

static X509 *make_cert(EVP_PKEY *key, const char *cn, long serial)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	/* Long over: a device without a clock must boot. */
	ASN1_TIME_set_string(X509_getm_notBefore(cert), "20010101000000Z");
	ASN1_TIME_set_string(X509_getm_notAfter(cert), "20020101000000Z");
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void write_pem(int i, const char *passphrase)
{
	FILE *f = fopen(file_of(ids[i].name, passphrase ? ".locked" : ".key"), "w");
	const EVP_CIPHER *cipher = passphrase ? EVP_aes_256_cbc() : NULL;

	assert_non_null(f);
	assert_true(PEM_write_PKCS8PrivateKey(f, ids[i].key, cipher, passphrase,
					      passphrase ? (int)strlen(passphrase) : 0, NULL, NULL));
	fclose(f);
	f = fopen(file_of(ids[i].name, ".crt"), "w");
	assert_true(PEM_write_X509(f, ids[i].cert));
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	ids[RSA_ID].key = EVP_RSA_gen(2048);
	ids[OTHER].key = EVP_RSA_gen(2048);
	ids[WEAK].key = EVP_RSA_gen(1024);
	ids[EC_ID].key = EVP_EC_gen("P-256");
	ids[EC384].key = EVP_EC_gen("P-384");
	ids[TWIN].key = EVP_RSA_gen(2048);
	for (int i = 0; i < N_IDS; i++) {
		/* The twin has another key under rsa's issuer and serial number. */
		ids[i].cert = make_cert(ids[i].key, i == TWIN ? "rsa" : ids[i].name, i == TWIN ? 1 : i + 1);
		write_pem(i, NULL);
	}
	write_pem(RSA_ID, "open sesame");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < N_IDS; i++) {
		EVP_PKEY_free(ids[i].key);
		X509_free(ids[i].cert);
	}
	return ul_remove_tree(AT_FDCWD, dir);
}

static struct ul_trust *trust_of(int i)
{
	struct ul_trust *t;
	struct ul_error err;

	assert_int_equal(ul_trust_load_file(file_of(ids[i].name, ".crt"), &t, &err), 0);
	return t;
}

static void sign(int i, struct ul_buffer *ret)
{
	struct ul_signer *s;
	struct ul_error err;

	assert_int_equal(ul_signer_load(file_of(ids[i].name, ".key"), file_of(ids[i].name, ".crt"), NULL, &s, &err), 0);
	assert_int_equal(ul_signer_sign(s, data, strlen(data), ret, &err), 0);
	ul_signer_free(s);
}

static int verify(const struct ul_trust *t, const char *text, size_t len, const struct ul_buffer *der,
		  struct ul_signer_name *ret_by, struct ul_error *err)
{
	struct ul_signed s = {"root hash", text, len, der->data, der->len};

	return ul_trust_verify(t, &s, ret_by, err);
}

/* The verdict of verifying der over data by the identity's certificate. */
static int verdict(int i, const struct ul_buffer *der, struct ul_error *err)
{
	struct ul_trust *t = trust_of(i);
	int r = verify(t, data, strlen(data), der, NULL, err);

	ul_trust_free(t);
	return r;
}

/* A signature as libcrypto makes it with these options. */
static void sign_raw(int i, int second, const EVP_MD *md, int flags, struct ul_buffer *ret)
{
	BIO *in = BIO_new_mem_buf(data, -1);
	PKCS7 *p7 = PKCS7_sign(NULL, NULL, NULL, in, flags | PKCS7_PARTIAL);
	int n;

	assert_non_null(PKCS7_sign_add_signer(p7, ids[i].cert, ids[i].key, md, flags));
	if (second >= 0)
		assert_non_null(PKCS7_sign_add_signer(p7, ids[second].cert, ids[second].key, md, flags));
	assert_int_equal(PKCS7_final(p7, in, flags), 1);
	n = i2d_PKCS7(p7, NULL);
	assert_int_equal(ul_buffer_reserve(ret, (size_t)n), 0);
	unsigned char *out = ret->data;

	i2d_PKCS7(p7, &out);
	ret->len = (size_t)n;
	PKCS7_free(p7);
	BIO_free(in);
}

#define PLAIN (PKCS7_BINARY | PKCS7_DETACHED | PKCS7_NOATTR | PKCS7_NOCERTS)

static void accepts(void **state)
{
	static const int good[] = {RSA_ID, EC_ID, EC384};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(good); i++) {
		struct ul_trust *t = trust_of(good[i]);
		struct ul_buffer der = {0};
		struct ul_signer_name by;
		struct ul_error err;
		uint8_t digest[32];
		char hex[65], subject[64];

		sign(good[i], &der);
		assert_int_equal(verify(t, data, strlen(data), &der, &by, &err), 0);
		X509_digest(ids[good[i]].cert, EVP_sha256(), digest, NULL);
		ul_hex_encode(digest, 32, hex);
		assert_string_equal(by.fingerprint, hex);
		snprintf(subject, sizeof(subject), "CN=%s", ids[good[i]].name);
		assert_string_equal(by.subject, subject);
		ul_buffer_free(&der);
		ul_trust_free(t);
	}
}

static void reproducible_and_bare(void **state)
{
	struct ul_buffer a = {0}, b = {0};
	const unsigned char *at;
	PKCS7 *p7;

	(void)state;
	sign(RSA_ID, &a);
	sign(RSA_ID, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	at = a.data;
	p7 = d2i_PKCS7(NULL, &at, (long)a.len);
	assert_true(PKCS7_is_detached(p7));
	assert_int_equal(sk_X509_num(p7->d.sign->cert), -1);
	assert_null(PKCS7_get_signed_attributes(sk_PKCS7_SIGNER_INFO_value(PKCS7_get_signer_info(p7), 0)));
	PKCS7_free(p7);
	ul_buffer_free(&a);
	ul_buffer_free(&b);
}

/* What other tools write is accepted too: attributes, certificates, SHA-384 and SHA-512. */
static void accepts_foreign(void **state)
{
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	sign_raw(RSA_ID, -1, EVP_sha512(), PLAIN, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), 0);
	sign_raw(RSA_ID, -1, EVP_sha384(), PKCS7_BINARY | PKCS7_DETACHED, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), 0);
	ul_buffer_free(&der);
}

static void refuses_weak(void **state)
{
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	sign_raw(RSA_ID, -1, EVP_sha1(), PLAIN, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "digest"));
	sign_raw(RSA_ID, -1, EVP_md5(), PLAIN, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	sign_raw(WEAK, -1, EVP_sha256(), PLAIN, &der);
	assert_int_equal(verdict(WEAK, &der, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "1024"));
	ul_buffer_free(&der);
}

static void refuses_form(void **state)
{
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	sign_raw(RSA_ID, OTHER, EVP_sha256(), PLAIN, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "one signer"));
	sign_raw(RSA_ID, -1, EVP_sha256(), PLAIN & ~PKCS7_DETACHED, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "contents of its own"));
	ul_buffer_free(&der);
}

static void refuses_bytes(void **state)
{
	struct ul_buffer der = {0};
	struct ul_error err;
	size_t len;

	(void)state;
	sign(RSA_ID, &der);
	len = der.len;
	for (der.len = 0; der.len < len; der.len++)
		assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	assert_int_equal(ul_buffer_append(&der, "", 1), 0);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNATURE);
	assert_non_null(strstr(err.why, "other bytes follow"));
	der.len = len;
	for (size_t i = 0; i < len; i++) {
		int r;

		der.data[i] ^= 1;
		r = verdict(RSA_ID, &der, &err);
		/* Issuer and serial flipped: another signer; all else: a bad signature. Version
		 * numbers and the signature algorithm's own parameters are not covered by it. */
		if (r != 0)
			assert_true(r == -UL_E_SIGNATURE || r == -UL_E_SIGNER);
		else
			assert_true(i < len - 256);
		der.data[i] ^= 1;
	}
	ul_buffer_free(&der);
}

static void refuses_other_data(void **state)
{
	struct ul_trust *t = trust_of(RSA_ID);
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	sign(RSA_ID, &der);
	for (size_t i = 0; i < strlen(data); i++) {
		char other[sizeof(data)];

		memcpy(other, data, sizeof(data));
		other[i] ^= 1;
		assert_int_equal(verify(t, other, strlen(other), &der, NULL, &err), -UL_E_SIGNATURE);
	}
	assert_int_equal(verify(t, data, strlen(data) - 1, &der, NULL, &err), -UL_E_SIGNATURE);
	der.len = 65537;
	assert_int_equal(verify(t, data, strlen(data), &der, NULL, &err), -UL_E_SIGNATURE);
	ul_trust_free(t);
	ul_buffer_free(&der);
}

static void unknown_or_wrong(void **state)
{
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	sign(RSA_ID, &der);
	assert_int_equal(verdict(OTHER, &der, &err), -UL_E_SIGNER);
	assert_non_null(strstr(err.why, "CN=rsa"));
	/* Same issuer and serial number, another key: not unknown, but wrong. */
	assert_int_equal(verdict(TWIN, &der, &err), -UL_E_SIGNATURE);
	assert_int_equal(verify(NULL, data, strlen(data), &der, NULL, &err), -UL_E_SIGNER);
	ul_buffer_free(&der);
	/* The signer's certificate inside the signature is no reason to trust it. */
	sign_raw(OTHER, -1, EVP_sha256(), PLAIN & ~PKCS7_NOCERTS, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNER);
	ul_buffer_free(&der);
}

/* Trust is of certificates, not of whom they might vouch for: there is no chain. */
static void issuer_does_not_vouch(void **state)
{
	EVP_PKEY *own_key = ids[OTHER].key;
	X509 *own_cert = ids[OTHER].cert, *leaf = make_cert(own_key, "leaf", 7);
	struct ul_buffer der = {0};
	struct ul_error err;

	(void)state;
	X509_set_issuer_name(leaf, X509_get_subject_name(ids[RSA_ID].cert));
	assert_true(X509_sign(leaf, ids[RSA_ID].key, EVP_sha256()) > 0);
	ids[OTHER].cert = leaf;
	/* With the certificate inside, as a chain wants it, and without. */
	sign_raw(OTHER, -1, EVP_sha256(), PKCS7_BINARY | PKCS7_DETACHED, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNER);
	sign_raw(OTHER, -1, EVP_sha256(), PLAIN, &der);
	assert_int_equal(verdict(RSA_ID, &der, &err), -UL_E_SIGNER);
	ids[OTHER].cert = own_cert;
	X509_free(leaf);
	ul_buffer_free(&der);
}

static void trust_directory(void **state)
{
	struct ul_buffer der = {0}, pem = {0};
	struct ul_trust *t;
	struct ul_error err;
	struct ul_signer_name by;
	char certs[128];

	(void)state;
	snprintf(certs, sizeof(certs), "%s/certs", dir);
	assert_int_equal(ul_trust_load_dir(AT_FDCWD, certs, &t, &err), 0);
	assert_int_equal(ul_trust_count(t), 0);
	ul_trust_free(t);
	mkdir(certs, 0755);
	assert_int_equal(symlink("../other.crt", file_of("certs/a", ".crt")), 0);
	assert_int_equal(symlink("../twin.crt", file_of("certs/b", ".crt")), 0);
	assert_int_equal(symlink("../rsa.crt", file_of("certs/c", ".crt")), 0);
	assert_int_equal(symlink("../rsa.key", file_of("certs/d", ".key")), 0);
	assert_int_equal(ul_trust_load_dir(AT_FDCWD, certs, &t, &err), 0);
	assert_int_equal(ul_trust_count(t), 3);
	/* The twin is tried first and fails; that must not hide the right one. */
	sign(RSA_ID, &der);
	assert_int_equal(verify(t, data, strlen(data), &der, &by, &err), 0);
	ul_trust_free(t);

	assert_int_equal(ul_write_file(AT_FDCWD, file_of("certs/e", ".crt"), 0644, "junk", 4), 0);
	assert_int_equal(ul_trust_load_dir(AT_FDCWD, certs, &t, &err), -UL_E_CONFIG);
	assert_non_null(strstr(err.object, "/e.crt"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(ul_read_file(AT_FDCWD, file_of(i ? "rsa" : "ec", ".crt"), 65536, &pem), 0);
	ul_write_file(AT_FDCWD, file_of("certs/e", ".crt"), 0644, pem.data, pem.len);
	assert_int_equal(ul_trust_load_dir(AT_FDCWD, certs, &t, &err), -UL_E_CONFIG);
	assert_non_null(strstr(err.why, "more than one"));
	ul_buffer_free(&pem);
	ul_buffer_free(&der);
}

static void signer_loading(void **state)
{
	struct ul_signer *s;
	struct ul_error err;
	uint8_t print[32], want[32];
	const char *cert = strdup(file_of("rsa", ".crt"));

	(void)state;
	assert_int_equal(ul_signer_load(file_of("rsa", ".locked"), cert, NULL, &s, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "the key is encrypted");
	assert_int_equal(ul_signer_load(file_of("rsa", ".locked"), cert, "wrong", &s, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "decrypt"));
	assert_int_equal(ul_signer_load(file_of("rsa", ".locked"), cert, "open sesame", &s, &err), 0);
	assert_true(ul_signer_fingerprint(s, print));
	X509_digest(ids[RSA_ID].cert, EVP_sha256(), want, NULL);
	assert_memory_equal(print, want, 32);
	ul_signer_free(s);
	assert_int_equal(ul_signer_load(file_of("other", ".key"), cert, NULL, &s, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "does not belong to the certificate"));
	assert_int_equal(ul_signer_load(cert, cert, NULL, &s, &err), -UL_E_INPUT);
	assert_int_equal(ul_signer_load(file_of("none", ".key"), cert, NULL, &s, &err), -UL_E_SYSTEM);
	assert_int_equal(ul_signer_load(file_of("rsa", ".key"), file_of("rsa", ".key"), NULL, &s, &err), -UL_E_INPUT);
	assert_int_equal(ul_signer_load(file_of("weak", ".key"), file_of("weak", ".crt"), NULL, &s, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "1024"));
	free((char *)cert);
}

/* What a signature says of its maker, with and without the certificate in it; of any bytes, nothing bad happens. */
static void claim(void **state)
{
	struct ul_buffer der = {0}, with_certificate = {0};
	struct ul_signer_claim c;

	(void)state;
	sign(EC_ID, &der);
	assert_true(ul_signature_claim(der.data, der.len, &c));
	assert_string_equal(c.issuer, "CN=ec");
	assert_string_equal(c.serial, "04");
	assert_string_equal(c.subject, "");
	assert_string_equal(c.fingerprint, "");
	sign_raw(OTHER, -1, EVP_sha256(), PKCS7_BINARY | PKCS7_DETACHED, &with_certificate);
	assert_true(ul_signature_claim(with_certificate.data, with_certificate.len, &c));
	assert_string_equal(c.subject, "CN=other");
	assert_int_equal(strlen(c.fingerprint), 64);
	assert_false(ul_signature_claim(NULL, 0, &c));
	for (size_t i = 0; i < der.len; i++) {
		uint8_t kept = der.data[i];

		der.data[i] ^= 0x55;
		(void)ul_signature_claim(der.data, der.len, &c);
		der.data[i] = kept;
		assert_false(ul_signature_claim(der.data, i, &c));
	}
	ul_buffer_free(&der);
	ul_buffer_free(&with_certificate);
}

/* The key that is handed to another program is the key, in the clear. */
static void exported_key(void **state)
{
	struct ul_buffer pem = {0};
	struct ul_signer *s;
	struct ul_error err;
	EVP_PKEY *key;
	BIO *bio;

	(void)state;
	assert_int_equal(ul_signer_load(file_of("rsa", ".locked"), file_of("rsa", ".crt"), "open sesame", &s, &err), 0);
	assert_int_equal(ul_signer_export_key(s, &pem, &err), 0);
	bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	assert_non_null(key);
	assert_int_equal(EVP_PKEY_eq(key, ids[RSA_ID].key), 1);
	EVP_PKEY_free(key);
	BIO_free(bio);
	ul_buffer_free(&pem);
	ul_signer_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claim),
		cmocka_unit_test(exported_key),
		cmocka_unit_test(accepts),
		cmocka_unit_test(reproducible_and_bare),
		cmocka_unit_test(accepts_foreign),
		cmocka_unit_test(refuses_weak),
		cmocka_unit_test(refuses_form),
		cmocka_unit_test(refuses_bytes),
		cmocka_unit_test(refuses_other_data),
		cmocka_unit_test(unknown_or_wrong),
		cmocka_unit_test(issuer_does_not_vouch),
		cmocka_unit_test(trust_directory),
		cmocka_unit_test(signer_loading),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
