/*
 * The CRC-32 of a GPT (IEEE 802.3), written out for the tests: those of the code under test would not find its faults.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A fuzzer learns nothing from its bits, and took a third of the time to count them. */
#ifdef __clang__
__attribute__((no_sanitize("coverage")))
#endif
static inline uint32_t
test_crc32(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	while (len--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
	}
	return ~crc;
}
