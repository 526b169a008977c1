#include "common/encoding.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char nix32_digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ul_hex_encode(const void *data, size_t len, char *out)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex_digits[bytes[i] >> 4];
		out[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool ul_hex_decode(const char *text, size_t text_len, void *out, size_t len)
{
	uint8_t *bytes = out;

	if (text_len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text[2 * i]);
		int low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void ul_nix32_encode(const uint8_t *data, size_t len, char *out)
{
	size_t digits = ul_nix32_length(len);

	for (size_t n = digits; n-- > 0;) {
		size_t bit = n * 5;
		size_t i = bit / 8, shift = bit % 8;
		unsigned int v = data[i] >> shift;

		if (i + 1 < len)
			v |= (unsigned int)data[i + 1] << (8 - shift);
		*out++ = nix32_digits[v & 31];
	}
	*out = '\0';
}

bool ul_nix32_decode(const char *text, size_t text_len, uint8_t *out, size_t len)
{
	if (text_len != ul_nix32_length(len))
		return false;
	memset(out, 0, len);
	for (size_t n = 0; n < text_len; n++) {
		char c = text[text_len - 1 - n];
		const char *at = c ? strchr(nix32_digits, c) : NULL;
		size_t bit = n * 5, i = bit / 8, shift = bit % 8;
		unsigned int v;

		if (!at)
			return false;
		v = (unsigned int)(at - nix32_digits) << shift;
		out[i] |= (uint8_t)v;
		if (v >> 8) {
			if (i + 1 >= len)
				return false;
			out[i + 1] |= (uint8_t)(v >> 8);
		}
	}
	return true;
}

void ul_base64_encode(const uint8_t *data, size_t len, char *out)
{
	while (len > 0) {
		size_t take = len < 3 ? len : 3;
		uint32_t v = (uint32_t)data[0] << 16;

		if (take > 1)
			v |= (uint32_t)data[1] << 8;
		if (take > 2)
			v |= data[2];
		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = take > 1 ? base64_digits[v >> 6 & 63] : '=';
		*out++ = take > 2 ? base64_digits[v & 63] : '=';
		data += take;
		len -= take;
	}
	*out = '\0';
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool ul_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t *ret_len)
{
	size_t at = 0;

	if (text_len % 4 != 0)
		return false;
	for (size_t i = 0; i < text_len; i += 4) {
		bool last = i + 4 == text_len;
		size_t pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int digit = k >= 4 - pad ? 0 : base64_value(text[i + k]);

			if (digit < 0)
				return false;
			v = v << 6 | (uint32_t)digit;
		}
		/* Spare bits must be zero, else two texts would mean one value. */
		if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
			return false;
		out[at++] = (uint8_t)(v >> 16);
		if (pad < 2)
			out[at++] = (uint8_t)(v >> 8);
		if (pad < 1)
			out[at++] = (uint8_t)v;
	}
	*ret_len = at;
	return true;
}
