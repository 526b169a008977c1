/*
 * A fast 64-bit checksum against accidents (a bad cable, a short copy): XXH64 with seed 0, as the
 * public xxHash specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) defines it. It runs
 * at memory speed. It does not guard against malice: dm-verity and the signature do.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t ul_checksum(const void *data, size_t len);
