/*
 * The signature partition of any bytes, and PKCS#7 of any bytes against a trusted certificate. The oracle: what
 * the key has signed is known, so no input at all may pass for a signature of something else.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "tests/fuzz/fuzz.h"
#include "verity/format/signature.h"
#include "verity/image/signer.h"
#include "verity/open/trust.h"

static const char is_signed[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char not_signed[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee";

static struct ul_trust *trust;
static struct ul_buffer der, json; /* a good signature; a good partition */

/* Files for ul_signer_load without a file system. */
static const char *memory_file(char *path, size_t size, FILE **f)
{
	int fd = memfd_create("pem", 0);

	snprintf(path, size, "/proc/self/fd/%d", fd);
	*f = fdopen(dup(fd), "w");
	return path;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *cert = X509_new();
	struct ul_signature_blob blob = {0};
	struct ul_signer *signer;
	char key_path[32], cert_path[32];
	struct ul_error err;
	FILE *f;

	(void)argc;
	(void)argv;
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"fuzz", -1,
				   -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	memory_file(key_path, sizeof(key_path), &f);
	PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	memory_file(cert_path, sizeof(cert_path), &f);
	PEM_write_X509(f, cert);
	fclose(f);
	if (ul_signer_load(key_path, cert_path, NULL, &signer, &err) < 0 ||
	    ul_trust_load_file(cert_path, &trust, &err) < 0 ||
	    ul_signer_sign(signer, is_signed, strlen(is_signed), &der, &err) < 0)
		abort();
	blob.root_hash = (char *)is_signed;
	blob.signature = blob.descriptor_signature = der;
	blob.descriptor = (struct ul_buffer){.data = (uint8_t *)not_signed, .len = 64, .size = 64};
	if (ul_signature_format(&blob, &json, &err) < 0 ||
	    ul_trust_verify(trust, &(struct ul_signed){"root hash", is_signed, strlen(is_signed), der.data, der.len},
			    NULL, &err) < 0)
		abort();
	ul_signer_free(signer);
	EVP_PKEY_free(key);
	X509_free(cert);
	return 0;
}

/* A copy of good, with the bytes that the input names (offset low, offset high, value) changed. */
static uint8_t *damaged(const struct ul_buffer *good, const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(good->len);

	memcpy(copy, good->data, good->len);
	for (size_t i = 0; i + 3 <= size; i += 3)
		copy[(data[i] | data[i + 1] << 8) % good->len] ^= data[i + 2];
	return copy;
}

static void try_partition(const uint8_t *data, size_t size)
{
	struct ul_signature_blob blob, back;
	struct ul_buffer text = {0};
	struct ul_error err;

	if (ul_signature_parse(data, size, &blob, &err) < 0)
		return;
	if (ul_signature_format(&blob, &text, &err) < 0 || ul_signature_parse(text.data, text.len, &back, &err) < 0 ||
	    strcmp(back.root_hash, blob.root_hash) != 0 || back.signature.len != blob.signature.len ||
	    back.descriptor.len != blob.descriptor.len)
		abort();
	ul_signature_free(&back);
	ul_signature_free(&blob);
	ul_buffer_free(&text);
}

static void try_signature(const uint8_t *data, size_t size)
{
	struct ul_signer_claim claim;
	struct ul_signer_name by;
	struct ul_error err;
	int r = ul_trust_verify(trust, &(struct ul_signed){"root hash", not_signed, strlen(not_signed), data, size},
				&by, &err);

	if (r != -UL_E_SIGNATURE && r != -UL_E_SIGNER)
		abort();
	(void)ul_signature_claim(data, size, &claim);
	ul_trust_verify(trust, &(struct ul_signed){"root hash", is_signed, strlen(is_signed), data, size}, &by, &err);
}

const struct fuzz_memory fuzz_memory = {.fixed = 1048576, .per_byte = 640};

void fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size == 0)
		return;
	switch (data[0] % 4) {
	case 0:
		try_partition(data + 1, size - 1);
		break;
	case 1:
		try_signature(data + 1, size - 1);
		break;
	case 2:
		copy = damaged(&json, data + 1, size - 1);
		try_partition(copy, json.len);
		free(copy);
		break;
	default:
		copy = damaged(&der, data + 1, size - 1);
		try_signature(copy, der.len);
		free(copy);
	}
}
