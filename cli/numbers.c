/* Numbers in arguments: decimal digits and nothing else, so that no "-1", "+5", " 7" or "0x10" means something. */
#include "cli/cli.h"

#define THREADS_MAX 1024

bool cli_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	*ret = value;
	return value >= min && value <= max;
}

bool cli_parse_threads(const char *text, unsigned int *ret)
{
	uint64_t n;

	if (!cli_parse_number(text, 1, THREADS_MAX, &n))
		return false;
	*ret = (unsigned int)n;
	return true;
}
