/*
 * The trusting half: certificates that may sign, and whether one of them signed these bytes. The signature
 * comes from storage that anyone may have written: its length is bounded, and its form (one signer, one strong
 * digest, no content of its own) is checked before any key is used.
 */
#include "verity/open/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <stdlib.h>
#include <string.h>

#include "common/dir.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/names.h"
#include "verity/format/pkcs7.h"

#define CERTIFICATES_MAX 256 /* files of the directory; more are a mistake */

static const char LOADING[] = "loading the trusted certificates";
static const char TODO_SIGN[] = "Sign the image again.";

struct ul_trust {
	UL_VECTOR_MEMBERS(X509 *); /* each owned */
};

/* ---- LOADING ---- */

static int add_certificate(struct ul_trust *t, int dirfd, const char *path, struct ul_error *err)
{
	ul_autox509 X509 *cert = NULL;
	int r = ul_certificate_load(dirfd, path, UL_E_CONFIG, LOADING, &cert, err);

	if (r < 0)
		return r;
	if (ul_vector_push(t, cert) < 0)
		return ul_error_nomem(err, LOADING);
	cert = NULL; /* the list owns it */
	return 0;
}

static bool is_certificate_name(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && name[0] != '.' && !strcmp(name + len - 4, ".crt");
}

/* The names of the directory's certificates, sorted. No directory: none. 0 or -errno. */
static int list_certificates(int dirfd, const char *path, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = ul_dir_of(fd, &dir);
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		if (is_certificate_name(entry->d_name))
			r = ul_names_add(ret, entry->d_name);
	ul_names_sort(ret, false);
	return r;
}

static int add_listed(struct ul_trust *t, int dirfd, const char *path, struct ul_error *err)
{
	ul_autonames struct ul_names names = {0};
	int r = list_certificates(dirfd, path, &names);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, LOADING, path, NULL, -r);
	if (names.n > CERTIFICATES_MAX)
		return ul_error_set(err, UL_E_CONFIG, LOADING, path, "Leave the ones that may sign.",
				    "it holds %zu certificates, more than %d", names.n, CERTIFICATES_MAX);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		ul_autofree char *file = ul_path_join(path, names.at[i]);

		r = file ? add_certificate(t, dirfd, file, err) : ul_error_nomem(err, LOADING);
	}
	return r;
}

int ul_trust_load_dir(int dirfd, const char *path, struct ul_trust **ret, struct ul_error *err)
{
	struct ul_trust *t = calloc(1, sizeof(*t));
	int r = t ? add_listed(t, dirfd, path, err) : ul_error_nomem(err, LOADING);

	if (r < 0) {
		ul_trust_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

int ul_trust_load_file(const char *path, struct ul_trust **ret, struct ul_error *err)
{
	struct ul_trust *t = calloc(1, sizeof(*t));
	int r = t ? add_certificate(t, AT_FDCWD, path, err) : ul_error_nomem(err, LOADING);

	if (r < 0) {
		ul_trust_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

size_t ul_trust_count(const struct ul_trust *t)
{
	return t ? t->n : 0;
}

void ul_trust_free(struct ul_trust *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		X509_free(t->at[i]);
	ul_vector_free(t);
	free(t);
}

/* ---- verifying ---- */

static bool digest_strong(const X509_ALGOR *algorithm)
{
	int nid = OBJ_obj2nid(algorithm->algorithm);

	return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

/* What keeps p7 from being a signature as ul_signer_sign makes them; NULL: nothing, and *ret is its signer. */
static const char *form_defect(PKCS7 *p7, PKCS7_SIGNER_INFO **ret)
{
	STACK_OF(PKCS7_SIGNER_INFO) * signers;
	PKCS7_SIGNER_INFO *signer;

	if (!PKCS7_type_is_signed(p7) || !p7->d.sign || !p7->d.sign->contents ||
	    !PKCS7_type_is_data(p7->d.sign->contents))
		return "it is not signed data";
	if (!PKCS7_is_detached(p7))
		return "it carries contents of its own";
	signers = PKCS7_get_signer_info(p7);
	if (sk_PKCS7_SIGNER_INFO_num(signers) != 1)
		return "it does not have exactly one signer";
	signer = sk_PKCS7_SIGNER_INFO_value(signers, 0);
	/* libcrypto computes every digest that is listed: a hostile list is a long computation. */
	if (sk_X509_ALGOR_num(p7->d.sign->md_algs) != 1 ||
	    !digest_strong(sk_X509_ALGOR_value(p7->d.sign->md_algs, 0)) || !digest_strong(signer->digest_alg))
		return "its digest is not one of SHA-256, SHA-384 and SHA-512";
	if (!signer->issuer_and_serial || !signer->issuer_and_serial->issuer || !signer->issuer_and_serial->serial)
		return "it does not say who signed";
	*ret = signer;
	return NULL;
}

static bool names_certificate(const PKCS7_SIGNER_INFO *signer, X509 *cert)
{
	return X509_NAME_cmp(signer->issuer_and_serial->issuer, X509_get_issuer_name(cert)) == 0 &&
	       ASN1_INTEGER_cmp(signer->issuer_and_serial->serial, X509_get0_serialNumber(cert)) == 0;
}

/* NULL: cert's key signed the bytes. */
static const char *check_by(PKCS7 *p7, X509 *cert, const struct ul_signed *s, char *buf, size_t size)
{
	STACK_OF(X509) *certs = NULL;
	ul_autobio BIO *bio = NULL;
	const char *why = ul_key_defect(X509_get0_pubkey(cert), buf, size);

	if (why)
		return why;
	why = "out of memory";
	bio = BIO_new_mem_buf(s->data, (int)s->len);
	certs = sk_X509_new_null();
	if (bio && certs && sk_X509_push(certs, cert) > 0)
		why = PKCS7_verify(p7, certs, NULL, bio, NULL, PKCS7_NOINTERN | PKCS7_NOVERIFY) == 1
			      ? NULL
			      : ul_crypto_reason("the signature is wrong");
	sk_X509_free(certs);
	return why;
}

static void describe_signer(X509 *cert, struct ul_signer_name *ret)
{
	uint8_t fingerprint[32] = {0};

	ul_certificate_fingerprint(cert, fingerprint);
	ul_hex_encode(fingerprint, sizeof(fingerprint), ret->fingerprint);
	ul_name_text(X509_get_subject_name(cert), ret->subject, sizeof(ret->subject));
}

static int unknown_signer(const PKCS7_SIGNER_INFO *signer, const struct ul_trust *t, const char *doing,
			  struct ul_error *err)
{
	size_t n = ul_trust_count(t);
	char issuer[128], them[40] = "the one";

	if (n == 0)
		return ul_error_set(err, UL_E_SIGNER, doing, NULL,
				    "Put the signer's certificate into /etc/verity.d of the initramfs.",
				    "no certificate is trusted here");
	if (n > 1)
		snprintf(them, sizeof(them), "one of the %zu", n);
	ul_name_text(signer->issuer_and_serial->issuer, issuer, sizeof(issuer));
	return ul_error_set(err, UL_E_SIGNER, doing, NULL,
			    "Sign with a trusted key, or trust the signer's certificate.",
			    "it was made with a certificate issued by \"%s\", which is not %s trusted here", issuer,
			    them);
}

int ul_trust_verify(const struct ul_trust *t, const struct ul_signed *s, struct ul_signer_name *ret_by,
		    struct ul_error *err)
{
	ul_autopkcs7 PKCS7 *p7 = NULL;
	const unsigned char *at = s->der;
	const char *why = NULL;
	PKCS7_SIGNER_INFO *signer = NULL;
	char doing[96], text[96];

	snprintf(doing, sizeof(doing), "checking the signature of the %s", s->what);
	if (s->der_len == 0 || s->der_len > UL_PKCS7_MAX || s->len > UL_PKCS7_MAX)
		return ul_error_set(err, UL_E_SIGNATURE, doing, NULL, TODO_SIGN, "it is empty or longer than %d bytes",
				    UL_PKCS7_MAX);
	ERR_clear_error();
	p7 = d2i_PKCS7(NULL, &at, (long)s->der_len);
	if (!p7 || at != (const unsigned char *)s->der + s->der_len)
		return ul_error_set(err, UL_E_SIGNATURE, doing, NULL, TODO_SIGN, "it is not PKCS#7 in DER: %s",
				    ul_crypto_reason("other bytes follow it"));
	why = form_defect(p7, &signer);
	if (why)
		return ul_error_set(err, UL_E_SIGNATURE, doing, NULL, TODO_SIGN, "%s", why);
	for (size_t i = 0; i < ul_trust_count(t); i++) {
		if (!names_certificate(signer, t->at[i]))
			continue;
		why = check_by(p7, t->at[i], s, text, sizeof(text));
		if (why)
			continue;
		if (ret_by)
			describe_signer(t->at[i], ret_by);
		return 0;
	}
	if (!why)
		return unknown_signer(signer, t, doing, err);
	return ul_error_set(err, UL_E_SIGNATURE, doing, NULL, TODO_SIGN, "%s", why);
}

bool ul_signature_claim(const void *der, size_t len, struct ul_signer_claim *ret)
{
	ul_autopkcs7 PKCS7 *p7 = NULL;
	const unsigned char *at = der;
	struct ul_signer_claim claim = {0};
	struct ul_signer_name by;
	PKCS7_SIGNER_INFO *signer;
	BIGNUM *serial = NULL;
	char *hex = NULL;
	X509 *cert;

	if (len == 0 || len > UL_PKCS7_MAX)
		return false;
	p7 = d2i_PKCS7(NULL, &at, (long)len);
	signer = p7 && PKCS7_type_is_signed(p7) ? sk_PKCS7_SIGNER_INFO_value(PKCS7_get_signer_info(p7), 0) : NULL;
	if (signer && signer->issuer_and_serial)
		serial = ASN1_INTEGER_to_BN(signer->issuer_and_serial->serial, NULL);
	if (serial)
		hex = BN_bn2hex(serial);
	if (hex) {
		ul_name_text(signer->issuer_and_serial->issuer, claim.issuer, sizeof(claim.issuer));
		ul_escape_text(claim.serial, sizeof(claim.serial), hex);
		cert = PKCS7_cert_from_signer_info(p7, signer);
		if (cert) {
			describe_signer(cert, &by);
			memcpy(claim.subject, by.subject, sizeof(claim.subject));
			memcpy(claim.fingerprint, by.fingerprint, sizeof(claim.fingerprint));
		}
		*ret = claim;
	}
	ERR_clear_error();
	BN_free(serial);
	if (!hex)
		return false;
	OPENSSL_free(hex);
	return true;
}
