/* Numbers in arguments, with their bounds. */
#include "cli/cli.h"
#include "common/config.h"

#define THREADS_MAX 1024

bool cli_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	return ul_parse_number(text, ret) && *ret >= min && *ret <= max;
}

bool cli_parse_threads(const char *text, unsigned int *ret)
{
	uint64_t n;

	if (!cli_parse_number(text, 1, THREADS_MAX, &n))
		return false;
	*ret = (unsigned int)n;
	return true;
}
