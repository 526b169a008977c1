#include "common/version_number.h"

#include "common/number.h"

int ul_version_at_least(const char *text, unsigned int major, unsigned int minor)
{
	uint64_t has_major, has_minor;

	if (!text || !ul_take_number(&text, &has_major) || *text++ != '.' || !ul_take_number(&text, &has_minor))
		return -1;
	return has_major > major || (has_major == major && has_minor >= minor);
}
