/* The tables of pairs, made from the encoders that they speed up. */
#include "dbgen/store/text_pairs.h"

#include "common/encoding.h"

void ul_text_pairs_init(struct ul_text_pairs *t)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	char four[5];

	for (unsigned int i = 0; i < 1024; i++) {
		t->base32[i][0] = digits[i >> 5];
		t->base32[i][1] = digits[i & 31];
	}
	for (unsigned int i = 0; i < 4096; i++) {
		const uint8_t bytes[3] = {(uint8_t)(i >> 4), (uint8_t)(i << 4), 0};

		ul_base64_encode(bytes, sizeof(bytes), four);
		memcpy(t->base64[i], four, 2);
	}
}
