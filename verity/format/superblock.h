/*
 * The dm-verity superblock, as veritysetup and systemd-repart write it at the start of the hash partition
 * (cryptsetup's wiki, "DMVerity", "Verity superblock format"). Integers are little-endian:
 *
 *   offset size
 *        0    8  "verity\0\0"
 *        8    4  version: 1
 *       12    4  hash type: 1 (salt first)
 *       16   16  UUID
 *       32   32  hash algorithm, NUL-terminated: "sha256"
 *       64    4  data block size, bytes
 *       68    4  hash block size, bytes
 *       72    8  data blocks
 *       80    2  salt size, bytes, at most 256
 *       82    6  zero
 *       88  256  salt
 *      344  168  zero
 *
 * The hash tree starts at the next multiple of the hash block size. Neither root hash nor signature covers
 * any of this: it is read for foreign images only, and each field must be one that we would have written.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "verity/format/descriptor.h"

#define UL_SUPERBLOCK_SIZE 512

/*
 * Parse; sets *ret's hash, salt, geometry and hash_start (all else zero) and the UUID (16 bytes; may be
 * NULL). object is for messages. -UL_E_SUPERBLOCK.
 */
int ul_superblock_parse(const uint8_t bytes[UL_SUPERBLOCK_SIZE], const char *object, struct ul_descriptor *ret,
			uint8_t *ret_uuid, struct ul_error *err);
