#include "common/number.h"

#include <errno.h>

#include "common/file.h"

#define FILE_MAX 4096 /* bytes: what the kernel writes at most */

/* How many digits are at the start of the text, and their value. 0: there are no digits, or it is above 2^64 - 1. */
static size_t digits(const char *text, size_t max, uint64_t *ret)
{
	uint64_t value = 0;
	size_t n = 0;

	for (; n < max && text[n] >= '0' && text[n] <= '9'; n++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[n] - '0'), &value))
			return 0;
	if (n > 0)
		*ret = value;
	return n;
}

bool ul_take_number(const char **at, uint64_t *ret)
{
	size_t n = digits(*at, SIZE_MAX, ret);

	*at += n;
	return n > 0;
}

bool ul_parse_digits(const char *text, size_t len, uint64_t *ret)
{
	uint64_t value;

	if (len == 0 || digits(text, len, &value) != len)
		return false;
	*ret = value;
	return true;
}

int ul_read_number_file(int dirfd, const char *path, uint64_t *ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	const char *at;
	uint64_t value;
	int r = ul_read_file(dirfd, path, FILE_MAX, &text);

	if (r < 0)
		return r;
	at = ul_buffer_string(&text);
	if (!at)
		return -ENOMEM;
	if (!ul_take_number(&at, &value) || (*at && *at != '\n'))
		return -EINVAL;
	*ret = value;
	return 0;
}
