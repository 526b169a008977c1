#include "verity/image/block_hasher.h"

#include <string.h>

bool ul_block_hasher_init(struct ul_block_hasher *h, const struct ul_descriptor *d)
{
	h->d = d;
	h->failed = false;
	/* Fetched once: a fetch for each digest costs as much as hashing a small block. */
	h->md = EVP_MD_fetch(NULL, strcmp(d->hash, "sha512") ? "SHA256" : "SHA512", NULL);
	h->ctx = EVP_MD_CTX_new();
	return h->md && h->ctx && EVP_DigestInit_ex2(h->ctx, h->md, NULL);
}

void ul_block_hasher_end(struct ul_block_hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
}

/* The salt stands before the block. */
void ul_block_hash(struct ul_block_hasher *h, const uint8_t *block, size_t len, uint8_t *digest)
{
	if (!EVP_DigestInit_ex2(h->ctx, NULL, NULL) || !EVP_DigestUpdate(h->ctx, h->d->salt, h->d->salt_len) ||
	    !EVP_DigestUpdate(h->ctx, block, len) || !EVP_DigestFinal_ex(h->ctx, digest, NULL))
		h->failed = true;
}
