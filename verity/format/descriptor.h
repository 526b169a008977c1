/*
 * The signed descriptor: all that dm-verity needs to know of an image, under a signature of its own, so
 * that the superblock, which the root hash does not cover, is never believed.
 *
 * It is text, kept byte for byte as it was signed: lines of `key=value` ended by a newline, in this
 * order, all of them, each once:
 *
 *     underlay-descriptor=1
 *     root-hash=<lower-case hex>
 *     hash=sha256
 *     salt=<lower-case hex, may be empty, at most 256 bytes>
 *     data-block-size=4096        bytes
 *     hash-block-size=4096        bytes
 *     data-blocks=<number>
 *     hash-start=<number>         bytes from the start of the hash partition to the hash tree
 *     fec-roots=0                 0: no FEC; else 2..24
 *     fec-start=0                 bytes from the start of the hash partition to the FEC area
 *     name=<image name>
 *     version=<image version>
 *     rollback-index=<number>
 *     manifest=<SHA-256 of the manifest in hex, or empty where there is none>
 *
 * In the signature JSON stand "underlay": {"descriptor": base64 of these bytes, "signature": base64 of a
 * detached PKCS#7 in DER over them}. The signature is checked before a byte of it is parsed. The first
 * line keeps it apart from the other thing that the key signs, the root hash as bare hex.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define UL_ROOT_HASH_MAX  64  /* bytes: SHA-512 */
#define UL_SALT_MAX       256 /* bytes, dm-verity's limit */
#define UL_NAME_SIZE      64  /* image name, version: [A-Za-z0-9._+~^-], with NUL */
#define UL_DESCRIPTOR_MAX 4096

struct ul_descriptor {
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len; /* bytes: 32 for sha256 */
	char hash[16];        /* "sha256" or "sha512" */
	uint8_t salt[UL_SALT_MAX];
	size_t salt_len;
	uint32_t data_block_size, hash_block_size; /* bytes, powers of two, 512 to 4096 here */
	uint64_t data_blocks;
	uint64_t hash_start; /* bytes */
	uint32_t fec_roots;
	uint64_t fec_start; /* bytes */
	char name[UL_NAME_SIZE];
	char version[UL_NAME_SIZE];
	uint64_t rollback_index;
	uint8_t manifest_hash[32];
	int has_manifest;
};

/* The text of *d, appended to *ret. 0 or -UL_E_INPUT where a field breaks its rule. */
int ul_descriptor_format(const struct ul_descriptor *d, struct ul_buffer *ret, struct ul_error *err);

/* Parse verified bytes. Strict: -UL_E_DESCRIPTOR for anything that format would not write. */
int ul_descriptor_parse(const void *text, size_t len, struct ul_descriptor *ret, struct ul_error *err);
