/*
 * The signing half: a private key with its certificate, and detached PKCS#7 signatures that the kernel's
 * dm-verity, systemd and verity/open/trust.c accept alike: binary, without attributes (the kernel then checks
 * the content's own digest, and RSA signatures are reproducible), without certificates (whoever verifies has
 * them, or must not trust them).
 */
#include "verity/image/signer.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "verity/format/pkcs7.h"

struct ul_signer {
	EVP_PKEY *key;
	X509 *cert;
};

/* What libcrypto's callback is given, and what it tells back. */
struct passphrase {
	const char *text; /* NULL: none was given */
	bool asked;
};

static int give_passphrase(char *buf, int size, int writing, void *user)
{
	struct passphrase *p = user;
	size_t len = p->text ? strlen(p->text) : 0;

	(void)writing;
	p->asked = true;
	if (!p->text || len > (size_t)size)
		return -1;
	memcpy(buf, p->text, len);
	return (int)len;
}

static int key_refused(const char *path, const struct passphrase *p, struct ul_error *err)
{
	static const char what[] = "loading the signing key";

	if (p->asked && !p->text) {
		ERR_clear_error();
		return ul_error_set(err, UL_E_INPUT, what, path, "Give the key's passphrase.", "the key is encrypted");
	}
	if (p->asked)
		return ul_error_set(err, UL_E_INPUT, what, path, "Check the passphrase.",
				    "the key cannot be decrypted: %s", ul_crypto_reason("wrong passphrase"));
	return ul_error_set(err, UL_E_INPUT, what, path, "Give a private key in PEM (BEGIN PRIVATE KEY).",
			    "it is not a private key in PEM: %s", ul_crypto_reason("nothing in it can be read"));
}

static int load_key(const char *path, const char *passphrase, EVP_PKEY **ret, struct ul_error *err)
{
	static const char what[] = "loading the signing key";
	struct passphrase p = {.text = passphrase};
	ul_autobuffer struct ul_buffer text = {0};
	ul_autopkey EVP_PKEY *key = NULL;
	ul_autobio BIO *bio = NULL;
	char why[96];
	int r = ul_read_file(AT_FDCWD, path, UL_PKCS7_MAX, &text);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, -r);
	bio = BIO_new_mem_buf(text.data, (int)text.len);
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &p);
	if (text.data)
		OPENSSL_cleanse(text.data, text.size);
	if (!key)
		return key_refused(path, &p, err);
	if (ul_key_defect(key, why, sizeof(why)))
		return ul_error_set(err, UL_E_INPUT, what, path, "Sign with RSA of 2048 bits or more, or ECDSA.", "%s",
				    why);
	*ret = ul_steal(key);
	return 0;
}

int ul_signer_load(const char *key_path, const char *cert_path, const char *passphrase, struct ul_signer **ret,
		   struct ul_error *err)
{
	ul_autox509 X509 *cert = NULL;
	ul_autopkey EVP_PKEY *key = NULL;
	struct ul_signer *s;
	int r = ul_certificate_load(AT_FDCWD, cert_path, UL_E_INPUT, "loading the signing certificate", &cert, err);

	if (r == 0)
		r = load_key(key_path, passphrase, &key, err);
	if (r < 0)
		return r;
	if (X509_check_private_key(cert, key) != 1) {
		ERR_clear_error();
		return ul_error_set(err, UL_E_INPUT, "loading the signing key", key_path,
				    "Give the key and the certificate that was made for it.",
				    "it does not belong to the certificate %s", cert_path);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return ul_error_nomem(err, "loading the signing key");
	s->key = ul_steal(key);
	s->cert = ul_steal(cert);
	*ret = s;
	return 0;
}

void ul_signer_free(struct ul_signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->key);
	X509_free(s->cert);
	free(s);
}

bool ul_signer_fingerprint(const struct ul_signer *s, uint8_t ret[32])
{
	return ul_certificate_fingerprint(s->cert, ret);
}

int ul_signer_export_key(struct ul_signer *s, struct ul_buffer *ret_pem, struct ul_error *err)
{
	static const char what[] = "handing over the signing key";
	ul_autobio BIO *bio = BIO_new(BIO_s_secmem());
	char *text;
	long len;

	if (!bio || PEM_write_bio_PrivateKey(bio, s->key, NULL, NULL, 0, NULL, NULL) != 1)
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "%s",
				    ul_crypto_reason("libcrypto cannot write it"));
	len = BIO_get_mem_data(bio, &text);
	if (ul_buffer_append(ret_pem, text, (size_t)len) < 0)
		return ul_error_nomem(err, what);
	return 0;
}

/* The digest that is as strong as the key: for EC by the curve's size, else SHA-256. */
static const EVP_MD *digest_for(EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);

	if (!EVP_PKEY_is_a(key, "EC") || bits <= 256)
		return EVP_sha256();
	return bits <= 384 ? EVP_sha384() : EVP_sha512();
}

int ul_signer_sign(struct ul_signer *s, const void *data, size_t len, struct ul_buffer *ret_der, struct ul_error *err)
{
	static const char what[] = "signing";
	const int flags = PKCS7_BINARY | PKCS7_DETACHED | PKCS7_NOATTR | PKCS7_NOCERTS;
	ul_autopkcs7 PKCS7 *p7 = NULL;
	ul_autobio BIO *bio = NULL;
	unsigned char *out;
	int n = 0;

	if (len > UL_PKCS7_MAX)
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL, "there are %zu bytes to sign, more than %d", len,
				    UL_PKCS7_MAX);
	bio = BIO_new_mem_buf(data, (int)len);
	if (bio)
		p7 = PKCS7_sign(NULL, NULL, NULL, NULL, flags | PKCS7_PARTIAL);
	if (p7 && PKCS7_sign_add_signer(p7, s->cert, s->key, digest_for(s->key), flags) &&
	    PKCS7_final(p7, bio, flags) == 1)
		n = i2d_PKCS7(p7, NULL);
	if (n <= 0)
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "%s",
				    ul_crypto_reason("libcrypto made no signature"));
	if (ul_buffer_reserve(ret_der, (size_t)n) < 0)
		return ul_error_nomem(err, what);
	out = ret_der->data + ret_der->len;
	i2d_PKCS7(p7, &out);
	ret_der->len += (size_t)n;
	return 0;
}
