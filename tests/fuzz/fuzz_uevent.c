/* A uevent of any bytes: what is found in it lies inside the message and is terminated. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "initrd/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *field, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)field;

	if (p && (p < data || p >= data + size || strlen(field) >= (size_t)(data + size - p)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ul_uevent e;

	if (ul_uevent_parse((const char *)data, size, &e) < 0)
		return 0;
	if (!e.action || !e.devpath)
		abort();
	check(e.action, data, size);
	check(e.devpath, data, size);
	check(e.subsystem, data, size);
	check(e.devname, data, size);
	check(e.modalias, data, size);
	return 0;
}
