#include "verity/format/image_layout.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/encoding.h"

/* The backup GPT's header and its 128 entries: 5 sectors of 4096 bytes, or 33 of 512, which are less. */
#define BACKUP_GPT_SIZE (5u * 4096)

/* *at = the first multiple of unit that is not below *at. */
static bool align_up(uint64_t *at, uint64_t unit)
{
	uint64_t sum;

	if (__builtin_add_overflow(*at, unit - 1, &sum))
		return false;
	*at = sum - sum % unit;
	return true;
}

int ul_image_layout(uint64_t fs_size, uint64_t hash_size, struct ul_image_layout *ret)
{
	struct ul_image_layout l = {.data_offset = UL_IMAGE_ALIGN, .sig_size = UL_SIG_PARTITION_SIZE};

	l.data_size = fs_size;
	l.hash_size = hash_size;
	if (!align_up(&l.data_size, UL_IMAGE_BLOCK) || !align_up(&l.hash_size, UL_IMAGE_BLOCK) ||
	    __builtin_add_overflow(l.data_offset, l.data_size, &l.hash_offset) ||
	    !align_up(&l.hash_offset, UL_IMAGE_ALIGN) ||
	    __builtin_add_overflow(l.hash_offset, l.hash_size, &l.sig_offset) ||
	    !align_up(&l.sig_offset, UL_IMAGE_ALIGN) ||
	    __builtin_add_overflow(l.sig_offset, l.sig_size + BACKUP_GPT_SIZE, &l.image_size) ||
	    !align_up(&l.image_size, UL_IMAGE_ALIGN) || l.image_size > INT64_MAX)
		return -EOVERFLOW;
	*ret = l;
	return 0;
}

int ul_image_derive(const char *label, const void *seed, size_t len, uint8_t out[32])
{
	static const char prefix[] = "underlay-";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, prefix, strlen(prefix)) == 1 &&
		  EVP_DigestUpdate(ctx, label, strlen(label) + 1) == 1 && EVP_DigestUpdate(ctx, seed, len) == 1 &&
		  EVP_DigestFinal_ex(ctx, out, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

int ul_image_derive_uuid(const char *label, const void *seed, size_t len, uint8_t out[16])
{
	uint8_t digest[32];
	int r = ul_image_derive(label, seed, len, digest);

	if (r < 0)
		return r;
	memcpy(out, digest, 16);
	/* RFC 4122: version 4, the RFC's variant; some tools show other values as malformed. */
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x40);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
	return 0;
}

void ul_uuid_format(const uint8_t uuid[16], char out[37])
{
	char hex[33];

	ul_hex_encode(uuid, 16, hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool ul_uuid_is(const char *text, const uint8_t uuid[16])
{
	char wanted[37];

	ul_uuid_format(uuid, wanted);
	return strcmp(text, wanted) == 0;
}

int ul_image_partition_uuids(const uint8_t *root_hash, size_t len, uint8_t ret_data[16], uint8_t ret_hash[16])
{
	if (len < 32)
		return -EINVAL;
	memcpy(ret_data, root_hash, 16);
	memcpy(ret_hash, root_hash + len - 16, 16);
	return 0;
}

int ul_image_signature_uuid(const uint8_t *root_hash, size_t len, uint8_t ret[16])
{
	return ul_image_derive_uuid("signature-partition", root_hash, len, ret);
}
