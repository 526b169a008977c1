/* XXH64, seed 0: four lanes over 32-byte stripes, then the rest, then an avalanche. */
#include "dbgen/store/checksum.h"

#include "common/bytes.h"

#define P1 0x9e3779b185ebca87ULL
#define P2 0xc2b2ae3d27d4eb4fULL
#define P3 0x165667b19e3779f9ULL
#define P4 0x85ebca77c2b2ae63ULL
#define P5 0x27d4eb2f165667c5ULL

static inline uint64_t rotate(uint64_t v, unsigned int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline uint64_t round_lane(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * P2, 31) * P1;
}

static inline uint64_t merge_lane(uint64_t sum, uint64_t lane)
{
	return (sum ^ round_lane(0, lane)) * P1 + P4;
}

/* The 32-byte stripes. Returns where they end. */
static const uint8_t *stripes(const uint8_t *at, const uint8_t *end, uint64_t *ret_sum)
{
	uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1;

	for (; end - at >= 32; at += 32) {
		a = round_lane(a, ul_get_le64(at));
		b = round_lane(b, ul_get_le64(at + 8));
		c = round_lane(c, ul_get_le64(at + 16));
		d = round_lane(d, ul_get_le64(at + 24));
	}
	*ret_sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	*ret_sum = merge_lane(*ret_sum, a);
	*ret_sum = merge_lane(*ret_sum, b);
	*ret_sum = merge_lane(*ret_sum, c);
	*ret_sum = merge_lane(*ret_sum, d);
	return at;
}

uint64_t ul_checksum(const void *data, size_t len)
{
	const uint8_t *at = data, *end = len ? at + len : at;
	uint64_t sum = P5;

	if (len >= 32)
		at = stripes(at, end, &sum);
	sum += len;
	for (; end - at >= 8; at += 8)
		sum = rotate(sum ^ round_lane(0, ul_get_le64(at)), 27) * P1 + P4;
	if (end - at >= 4) {
		sum = rotate(sum ^ ul_get_le32(at) * P1, 23) * P2 + P3;
		at += 4;
	}
	for (; at < end; at++)
		sum = rotate(sum ^ *at * P5, 11) * P1;
	sum = (sum ^ sum >> 33) * P2;
	sum = (sum ^ sum >> 29) * P3;
	return sum ^ sum >> 32;
}
