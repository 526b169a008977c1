/* Hashes as Nix prints them: base-16, Nix base-32 or base64, with or without the algorithm's name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UL_HASH_TEXT_SIZE 128 /* bytes: room for any of them, with its end */

/* "sha256:" and 64 hexadecimal digits of either case: the form of Nix's database. text may be NULL. */
#define UL_HASH_TEXT_PREFIX "sha256:"
#define UL_HASH_TEXT_LENGTH (sizeof(UL_HASH_TEXT_PREFIX) - 1 + 64)
bool ul_hash_text_parse(const char *text, size_t len, uint8_t ret[32]);

/* Print a hash in this form, in lower case; out: UL_HASH_TEXT_LENGTH bytes, and a NUL. */
void ul_hash_text_print(const uint8_t hash[32], char *out);

/* "sha256-BASE64", as Nix's JSON has it; out: UL_HASH_TEXT_SIZE bytes. */
void ul_hash_sri_print(const uint8_t hash[32], char *out);

/* SHA-256 in any form that Nix reads: "sha256:HEX", "sha256:BASE32", "sha256-BASE64", bare ones. */
bool ul_sha256_parse(const char *text, size_t len, uint8_t ret[32]);

/*
 * A hash of any algorithm that Nix has, in whatever form, as "ALGORITHM:BASE32". algorithm: its name,
 * or NULL where the text tells it. out: UL_HASH_TEXT_SIZE bytes. false: no such hash.
 */
bool ul_hash_to_nix32(const char *algorithm, const char *text, size_t len, char *out);
