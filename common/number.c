#include "common/number.h"

#include <errno.h>

#include "common/file.h"

#define FILE_MAX 4096 /* bytes: what the kernel writes at most */

bool ul_take_number(const char **at, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	if (p == *at)
		return false;
	*at = p;
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
