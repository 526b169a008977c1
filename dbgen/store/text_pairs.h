/*
 * Base-32 of digests and base64 of signatures, two characters at a time: most paths of a store have a
 * deriver and a signature, and their text is the dearest part of decoding. Tables of 2 and 8 kB.
 */
#pragma once

#include <stdint.h>
#include <string.h>

struct ul_text_pairs {
	char base32[1024][2];
	char base64[4096][2];
};

void ul_text_pairs_init(struct ul_text_pairs *t);

/* The 32 digits of a store path's digest (20 bytes, reversed order). */
static inline void ul_pairs_digest(const struct ul_text_pairs *t, const uint8_t *digest, char *out)
{
	for (unsigned int group = 0; group < 4; group++, digest += 5, out += 8) {
		uint64_t v = (uint64_t)digest[0] << 32 | (uint64_t)digest[1] << 24 | (uint64_t)digest[2] << 16 |
			     (uint64_t)digest[3] << 8 | digest[4];

		memcpy(out, t->base32[v >> 30], 2);
		memcpy(out + 2, t->base32[v >> 20 & 1023], 2);
		memcpy(out + 4, t->base32[v >> 10 & 1023], 2);
		memcpy(out + 6, t->base32[v & 1023], 2);
	}
}

/* Padded base64 of 64 bytes: 88 characters. */
static inline void ul_pairs_sig(const struct ul_text_pairs *t, const uint8_t *sig, char *out)
{
	for (unsigned int i = 0; i < 63; i += 3, out += 4) {
		uint32_t v = (uint32_t)sig[i] << 16 | (uint32_t)sig[i + 1] << 8 | sig[i + 2];

		memcpy(out, t->base64[v >> 12], 2);
		memcpy(out + 2, t->base64[v & 4095], 2);
	}
	memcpy(out, t->base64[(uint32_t)sig[63] << 4], 2);
	out[2] = out[3] = '=';
}
