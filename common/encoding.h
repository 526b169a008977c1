/*
 * Text encodings of binary data: hexadecimal, Nix's base-32, base64. All decoders are strict: one
 * text for one value, exact length, no white space.
 *
 * Nix's base-32 (nix/src/libutil, "nix32"): alphabet 0123456789abcdfghijklmnpqrsvwxyz (no e o t u),
 * 5 bits a digit, the digits in reverse order, so that the first digit holds the most significant bits
 * of the last bytes. Hence texts compare as the byte-reversed values do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* out: 2 * len + 1 bytes. Lower case. */
void ul_hex_encode(const void *data, size_t len, char *out);

/* text: exactly 2 * len digits of either case, not necessarily terminated. false: not hex. */
bool ul_hex_decode(const char *text, size_t text_len, void *out, size_t len);

/* Digits of Nix base-32 that len bytes take: ceil(8 * len / 5). */
static inline size_t ul_nix32_length(size_t len)
{
	return len ? (len * 8 - 1) / 5 + 1 : 0;
}

/* out: ul_nix32_length(len) + 1 bytes. */
void ul_nix32_encode(const uint8_t *data, size_t len, char *out);

/* text_len must be ul_nix32_length(len) and the spare bits zero. false: not such a text. */
bool ul_nix32_decode(const char *text, size_t text_len, uint8_t *out, size_t len);

/* Characters of padded base64 that len bytes take. */
static inline size_t ul_base64_length(size_t len)
{
	return (len + 2) / 3 * 4;
}

/* RFC 4648 with padding. out: ul_base64_length(len) + 1 bytes. */
void ul_base64_encode(const uint8_t *data, size_t len, char *out);

/*
 * Strict RFC 4648 section 4: padded, no white space, spare bits zero. out must hold
 * text_len / 4 * 3 bytes; *ret_len is what was written. false: not such a text.
 */
bool ul_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t *ret_len);
