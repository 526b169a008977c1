/* The digest of a block, by dm-verity's hash type 1: kernel Documentation admin-guide/device-mapper/verity.rst. */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verity/format/descriptor.h"

struct ul_block_hasher {
	const struct ul_descriptor *d; /* hash and salt */
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	bool failed; /* libcrypto failed once; digests made since are void */
};

/* d: the caller's, while it is used. false: libcrypto failed; ul_block_hasher_end frees it in any case. */
bool ul_block_hasher_init(struct ul_block_hasher *h, const struct ul_descriptor *d);
void ul_block_hasher_end(struct ul_block_hasher *h);

/* digest: d->root_hash_len bytes. */
void ul_block_hash(struct ul_block_hasher *h, const uint8_t *block, size_t len, uint8_t *digest);
