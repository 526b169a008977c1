/* Hashes as Nix prints them: base-16, Nix base-32 or base64, with or without the algorithm's name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "sha256:" and 64 hexadecimal digits of either case: the form of Nix's database. text may be NULL. */
bool ul_hash_text_parse(const char *text, size_t len, uint8_t ret[32]);

/* SHA-256 in any form that Nix reads: "sha256:HEX", "sha256:BASE32", "sha256-BASE64", bare ones. */
bool ul_sha256_parse(const char *text, size_t len, uint8_t ret[32]);

/*
 * A hash of any algorithm that Nix has, in whatever form, as "ALGORITHM:BASE32". algorithm: its name,
 * or NULL where the text tells it. out: UL_HASH_TEXT_SIZE bytes. false: no such hash.
 */
#define UL_HASH_TEXT_SIZE 128
bool ul_hash_to_nix32(const char *algorithm, const char *text, size_t len, char *out);
