/* Store paths: parsing, checking, printing. Tables, because a large store has millions of them. */
#include "dbgen/store/store_path.h"

#include <string.h>

static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";

/* Value of a base-32 digit plus one; 0: no digit. */
static const uint8_t digit_value[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['f'] = 15, ['g'] = 16,
	['h'] = 17, ['i'] = 18, ['j'] = 19, ['k'] = 20, ['l'] = 21, ['m'] = 22, ['n'] = 23, ['p'] = 24,
	['q'] = 25, ['r'] = 26, ['s'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

static const uint8_t name_char[256] = {
	['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['+'] = 1, ['-'] = 1,
	['.'] = 1,         ['_'] = 1,         ['?'] = 1,         ['='] = 1,
};

bool ul_store_dir_valid(const char *dir)
{
	size_t len = strnlen(dir, UL_STORE_DIR_MAX + 1);

	if (len < 2 || len > UL_STORE_DIR_MAX || dir[0] != '/' || dir[len - 1] == '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (dir[i] < 0x20 || dir[i] > 0x7e)
			return false;
	for (const char *part = dir; part; part = strchr(part + 1, '/')) {
		size_t n = strcspn(part + 1, "/");

		if (n == 0 || (n == 1 && part[1] == '.') || (n == 2 && !memcmp(part + 1, "..", 2)))
			return false;
	}
	return true;
}

bool ul_store_name_chars(const char *bytes, size_t len)
{
	uint8_t good = 1;

	for (size_t i = 0; i < len; i++)
		good &= name_char[(uint8_t)bytes[i]];
	return good;
}

bool ul_store_name_valid(const char *name, size_t len)
{
	size_t dots;

	if (len == 0 || len > UL_NAME_MAX || !ul_store_name_chars(name, len))
		return false;
	if (name[0] != '.')
		return true;
	/* The first dash-separated component may be neither "." nor "..". */
	dots = len > 1 && name[1] == '.' ? 2 : 1;
	return len > dots && name[dots] != '-';
}

bool ul_store_base_parse(const char *base, size_t len, uint8_t ret_digest[UL_DIGEST_SIZE])
{
	uint8_t digest[UL_DIGEST_SIZE];

	if (len <= UL_HASH_DIGITS + 1 || len > UL_BASE_NAME_MAX || base[UL_HASH_DIGITS] != '-')
		return false;
	/* Reversed, the digest is plain big-endian: eight digits are five bytes. */
	for (size_t group = 0; group < 4; group++) {
		uint64_t v = 0;

		for (size_t i = 0; i < 8; i++) {
			uint8_t value = digit_value[(uint8_t)base[group * 8 + i]];

			if (value == 0)
				return false;
			v = v << 5 | (value - 1U);
		}
		for (size_t i = 0; i < 5; i++)
			digest[group * 5 + i] = (uint8_t)(v >> (32 - 8 * i));
	}
	if (!ul_store_name_valid(base + UL_HASH_DIGITS + 1, len - UL_HASH_DIGITS - 1))
		return false;
	memcpy(ret_digest, digest, sizeof(digest));
	return true;
}

const char *ul_store_base_in(const char *store_dir, const char *path)
{
	size_t len = strlen(store_dir);

	return strncmp(path, store_dir, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

const char *ul_store_base_of(const char *store_dir, const char *path)
{
	const char *base = ul_store_base_in(store_dir, path);

	return base && *base && !strchr(base, '/') ? base : NULL;
}

const char *ul_store_path_parse(const char *store_dir, const char *path, uint8_t ret_digest[UL_DIGEST_SIZE])
{
	const char *base = ul_store_base_of(store_dir, path);

	return base && ul_store_base_parse(base, strnlen(base, UL_BASE_NAME_MAX + 1), ret_digest) ? base : NULL;
}

void ul_store_digest_text(const uint8_t digest[UL_DIGEST_SIZE], char out[UL_HASH_DIGITS])
{
	for (size_t group = 0; group < 4; group++) {
		uint64_t v = 0;

		for (size_t i = 0; i < 5; i++)
			v = v << 8 | digest[group * 5 + i];
		for (size_t i = 0; i < 8; i++)
			out[group * 8 + i] = digits[v >> (35 - 5 * i) & 31];
	}
}

char *ul_store_path_print(const char *store_dir, const uint8_t digest[UL_DIGEST_SIZE], const char *name,
			  size_t name_len, char out[UL_STORE_PATH_SIZE])
{
	char *at = stpcpy(out, store_dir);

	*at++ = '/';
	ul_store_digest_text(digest, at);
	at += UL_HASH_DIGITS;
	*at++ = '-';
	memcpy(at, name, name_len);
	at[name_len] = '\0';
	return out;
}
