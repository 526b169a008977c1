/* Certificates and keys as both halves of the signature code need them. */
#include "verity/format/pkcs7.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "common/file.h"

const char *ul_crypto_reason(const char *otherwise)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return reason ? reason : otherwise;
}

/* A certificate has no passphrase; without this libcrypto would ask the terminal for one. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

int ul_certificate_parse(const struct ul_buffer *text, const char *path, enum ul_code code, const char *what,
			 X509 **ret, struct ul_error *err)
{
	ul_autox509 X509 *cert = NULL, *second = NULL;
	ul_autobio BIO *bio = BIO_new_mem_buf(text->data, (int)text->len);

	if (!bio)
		return ul_error_nomem(err, what);
	cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	if (!cert)
		return ul_error_set(err, code, what, path, "Give a certificate in PEM (BEGIN CERTIFICATE).",
				    "it is not a certificate in PEM: %s",
				    ul_crypto_reason("nothing in it can be read"));
	second = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	ERR_clear_error();
	if (second)
		return ul_error_set(err, code, what, path, "Put each certificate that may sign into a file of its own.",
				    "it holds more than one certificate");
	*ret = ul_steal(cert);
	return 0;
}

int ul_certificate_load(int dirfd, const char *path, enum ul_code code, const char *what, X509 **ret,
			struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(dirfd, path, UL_PKCS7_MAX, &text);

	if (r == -ENOMEM)
		return ul_error_nomem(err, what);
	if (r < 0)
		return ul_error_errno(err, r == -EFBIG ? code : UL_E_SYSTEM, what, path, NULL, -r);
	return ul_certificate_parse(&text, path, code, what, ret, err);
}

const char *ul_key_defect(EVP_PKEY *key, char *buf, size_t size)
{
	int bits = key ? EVP_PKEY_get_bits(key) : 0;

	if (!key)
		snprintf(buf, size, "the key cannot be read");
	else if (EVP_PKEY_is_a(key, "RSA") && bits < UL_RSA_BITS_MIN)
		snprintf(buf, size, "the RSA key has %d bits, fewer than %d", bits, UL_RSA_BITS_MIN);
	else if (EVP_PKEY_is_a(key, "EC") && bits < UL_EC_BITS_MIN)
		snprintf(buf, size, "the EC key has %d bits, fewer than %d", bits, UL_EC_BITS_MIN);
	else if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "EC"))
		snprintf(buf, size, "the key is neither RSA nor EC");
	else
		return NULL;
	return buf;
}

bool ul_certificate_fingerprint(X509 *cert, uint8_t ret[32])
{
	return X509_digest(cert, EVP_sha256(), ret, NULL) == 1;
}

void ul_name_text(const X509_NAME *name, char *buf, size_t size)
{
	ul_autobio BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	buf[0] = '\0';
	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
		return;
	len = BIO_get_mem_data(bio, &text);
	if (len <= 0)
		return;
	if ((size_t)len >= size)
		len = (long)size - 1;
	memcpy(buf, text, (size_t)len);
	buf[len] = '\0';
}
