/*
 * Store paths as the manifest holds them: a digest (the 20 bytes that the 32 base-32 digits of the
 * hash part mean, in reversed order, so that memcmp orders digests as their texts) and a name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UL_DIGEST_SIZE   20  /* bytes of the hash part of a store path (32 digits of base-32) */
#define UL_NAR_HASH_SIZE 32  /* SHA-256 */
#define UL_NAME_MAX      211 /* Nix's limit of a store path's name, bytes */
#define UL_HASH_DIGITS   32  /* of a store path's hash part */
#define UL_BASE_NAME_MAX (UL_HASH_DIGITS + 1 + UL_NAME_MAX)
#define UL_STORE_DIR_MAX 255 /* bytes of a store directory's path */

/* "/nix/store": absolute, at most UL_STORE_DIR_MAX bytes, normalised, printable ASCII. */
bool ul_store_dir_valid(const char *dir);

/* Whether every one of the bytes may stand in a store path's name. */
bool ul_store_name_chars(const char *bytes, size_t len);

/* Whether this is a name that Nix accepts: length, characters, and no "." or ".." component. */
bool ul_store_name_valid(const char *name, size_t len);

/* Parse "HASH-name" (len bytes); the name begins at base + UL_HASH_DIGITS + 1. false: no such. */
bool ul_store_base_parse(const char *base, size_t len, uint8_t ret_digest[UL_DIGEST_SIZE]);

/*
 * The base name within path if path is store_dir plus one component, else NULL. The component is
 * not checked.
 */
const char *ul_store_base_of(const char *store_dir, const char *path);

/* What follows "STORE_DIR/" in path, "" where nothing does; NULL: path does not begin so. */
const char *ul_store_base_in(const char *store_dir, const char *path);

/*
 * A whole store path, "STORE_DIR/HASH-name": its base name within path and its digest. NULL: not a store path of this
 * directory; ret_digest is then as it was.
 */
const char *ul_store_path_parse(const char *store_dir, const char *path, uint8_t ret_digest[UL_DIGEST_SIZE]);

/* The 32 digits of a digest; out is not terminated. */
void ul_store_digest_text(const uint8_t digest[UL_DIGEST_SIZE], char out[UL_HASH_DIGITS]);

/* Bytes of a full store path as text, with its end. */
#define UL_STORE_PATH_SIZE (UL_STORE_DIR_MAX + 1 + UL_BASE_NAME_MAX + 1)

/* "STORE_DIR/HASH-name", terminated, into out; returns out. A name of at most UL_NAME_MAX bytes. */
char *ul_store_path_print(const char *store_dir, const uint8_t digest[UL_DIGEST_SIZE], const char *name,
			  size_t name_len, char out[UL_STORE_PATH_SIZE]);
