/* A hash's form is told by its length, as Nix itself does. */
#include "dbgen/store/hash_text.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"

#define HASH_MAX 64

static const struct {
	const char *name;
	size_t size;
} algorithms[] = {{"md5", 16}, {"sha1", 20}, {"sha256", 32}, {"sha512", 64}, {"blake3", 32}};

/* The digits of a hash of size bytes. */
static bool parse_digits(const char *text, size_t len, uint8_t *out, size_t size)
{
	uint8_t padded[HASH_MAX + 2];
	size_t decoded;

	if (len == 2 * size)
		return ul_hex_decode(text, len, out, size);
	if (len == ul_nix32_length(size))
		return ul_nix32_decode(text, len, out, size);
	if (len != ul_base64_length(size) || !ul_base64_decode(text, len, padded, &decoded) || decoded != size)
		return false;
	memcpy(out, padded, size);
	return true;
}

/* Take "ALGORITHM:" or "ALGORITHM-" off the text; the index of the algorithm, or -1. */
static int take_algorithm(const char **text, size_t *len)
{
	for (size_t i = 0; i < UL_ARRAY_SIZE(algorithms); i++) {
		size_t n = strlen(algorithms[i].name);

		if (*len > n && !memcmp(*text, algorithms[i].name, n) && ((*text)[n] == ':' || (*text)[n] == '-')) {
			*text += n + 1;
			*len -= n + 1;
			return (int)i;
		}
	}
	return -1;
}

bool ul_hash_text_parse(const char *text, size_t len, uint8_t ret[32])
{
	const size_t skip = sizeof(UL_HASH_TEXT_PREFIX) - 1;

	return text && len > skip && !memcmp(text, UL_HASH_TEXT_PREFIX, skip) &&
	       ul_hex_decode(text + skip, len - skip, ret, 32);
}

void ul_hash_text_print(const uint8_t hash[32], char *out)
{
	const size_t skip = sizeof(UL_HASH_TEXT_PREFIX) - 1;

	memcpy(out, UL_HASH_TEXT_PREFIX, skip);
	ul_hex_encode(hash, 32, out + skip);
}

void ul_hash_sri_print(const uint8_t hash[32], char *out)
{
	static const char prefix[] = "sha256-";
	const size_t skip = sizeof(prefix) - 1;

	memcpy(out, prefix, skip);
	ul_base64_encode(hash, 32, out + skip);
}

bool ul_sha256_parse(const char *text, size_t len, uint8_t ret[32])
{
	uint8_t hash[32];
	int algorithm = take_algorithm(&text, &len);

	if (algorithm >= 0 && strcmp(algorithms[algorithm].name, "sha256") != 0)
		return false;
	if (!parse_digits(text, len, hash, sizeof(hash)))
		return false;
	memcpy(ret, hash, sizeof(hash));
	return true;
}

bool ul_hash_to_nix32(const char *algorithm, const char *text, size_t len, char *out)
{
	uint8_t hash[HASH_MAX];
	int told = take_algorithm(&text, &len);

	for (size_t i = 0; algorithm && i < UL_ARRAY_SIZE(algorithms); i++)
		if (!strcmp(algorithms[i].name, algorithm)) {
			if (told >= 0 && told != (int)i)
				return false;
			told = (int)i;
			algorithm = NULL;
		}
	if (algorithm || told < 0 || !parse_digits(text, len, hash, algorithms[told].size))
		return false;
	ul_nix32_encode(hash, algorithms[told].size,
			out + snprintf(out, UL_HASH_TEXT_SIZE, "%s:", algorithms[told].name));
	return true;
}
