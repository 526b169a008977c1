/*
 * dm-verity's reading in user space, from its documentation (admin-guide/device-mapper/verity.rst) and not from
 * verity/image/hash_tree.c: the judge must not share the code that it judges. Hash type 1: H(salt || block).
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tamper/cases.h"

#define LEVELS 63

struct tree {
	const struct ul_descriptor *d;
	const uint8_t *hash;
	size_t hash_len, digest_len;
	uint64_t per_block;
	int levels;
	uint64_t start[LEVELS], blocks[LEVELS]; /* in hash blocks; level 0 is next to the data */
	uint8_t *known[LEVELS];                 /* 0: not looked at, 1: good, 2: bad */
	const EVP_MD *md;
	EVP_MD_CTX *salted, *work;
};

static void digest(struct tree *t, const uint8_t *block, size_t len, uint8_t *ret)
{
	unsigned int n;

	if (EVP_MD_CTX_copy_ex(t->work, t->salted) != 1 || EVP_DigestUpdate(t->work, block, len) != 1 ||
	    EVP_DigestFinal_ex(t->work, ret, &n) != 1 || n != t->digest_len)
		abort();
}

static void open_tree(struct tree *t, const struct ul_descriptor *d, const uint8_t *hash, size_t hash_len)
{
	uint64_t at = d->hash_start / d->hash_block_size, blocks = d->data_blocks;

	*t = (struct tree){.d = d, .hash = hash, .hash_len = hash_len};
	t->md = strcmp(d->hash, "sha512") == 0 ? EVP_sha512() : EVP_sha256();
	t->digest_len = (size_t)EVP_MD_get_size(t->md);
	t->per_block = d->hash_block_size / t->digest_len;
	while (blocks > 1) {
		blocks = (blocks + t->per_block - 1) / t->per_block;
		t->known[t->levels] = calloc(blocks, 1);
		if (!t->known[t->levels])
			abort();
		t->blocks[t->levels++] = blocks;
	}
	for (int i = t->levels - 1; i >= 0; i--) {
		t->start[i] = at;
		at += t->blocks[i];
	}
	t->salted = EVP_MD_CTX_new();
	t->work = EVP_MD_CTX_new();
	if (!t->salted || !t->work || EVP_DigestInit_ex(t->salted, t->md, NULL) != 1 ||
	    EVP_DigestUpdate(t->salted, d->salt, d->salt_len) != 1)
		abort();
}

static void close_tree(struct tree *t)
{
	for (int i = 0; i < t->levels; i++)
		free(t->known[i]);
	EVP_MD_CTX_free(t->salted);
	EVP_MD_CTX_free(t->work);
}

/* The digest that the tree demands of block `number` below `level`; NULL: the way to it does not verify. */
static const uint8_t *wanted(struct tree *t, int level, uint64_t number)
{
	uint64_t block = number / t->per_block, at;
	uint8_t got[UL_ROOT_HASH_MAX];
	const uint8_t *above;

	if (level == t->levels)
		return t->d->root_hash;
	at = (t->start[level] + block) * t->d->hash_block_size;
	if (!t->known[level][block]) {
		above = wanted(t, level + 1, block);
		t->known[level][block] = 2;
		if (above && at + t->d->hash_block_size <= t->hash_len) {
			digest(t, t->hash + at, t->d->hash_block_size, got);
			if (memcmp(got, above, t->digest_len) == 0)
				t->known[level][block] = 1;
		}
	}
	if (t->known[level][block] != 1)
		return NULL;
	return t->hash + at + number % t->per_block * t->digest_len;
}

static bool verifies(struct tree *t, const uint8_t *block, uint64_t number)
{
	const uint8_t *want = wanted(t, 0, number);
	uint8_t got[UL_ROOT_HASH_MAX];

	if (!want)
		return false;
	digest(t, block, t->d->data_block_size, got);
	return memcmp(got, want, t->digest_len) == 0;
}

void tamper_read(const struct ul_descriptor *d, struct tamper_bytes data, struct tamper_bytes hash,
		 const struct tamper_image *is, struct tamper_served *ret)
{
	size_t size = d->data_block_size, signed_len = (size_t)is->d.data_blocks * is->d.data_block_size;
	const uint8_t *signed_data = is->bytes + is->data.at;
	struct tree t;

	*ret = (struct tamper_served){.ends_good = true};
	open_tree(&t, d, hash.bytes, hash.len);
	for (uint64_t i = 0; i < d->data_blocks; i++) {
		size_t at = (size_t)i * size;

		if (at + size > data.len || !verifies(&t, data.bytes + at, i)) {
			ret->errors++;
			if (i == 0 || i == d->data_blocks - 1)
				ret->ends_good = false;
		} else if (at + size > signed_len || memcmp(data.bytes + at, signed_data + at, size) != 0) {
			ret->bad++;
		} else {
			ret->good++;
		}
	}
	close_tree(&t);
}
