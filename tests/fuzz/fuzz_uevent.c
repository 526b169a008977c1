/* A uevent of any bytes: what is found in it lies inside the message and is terminated. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "initrd/base/uevent.h"
#include "tests/fuzz/fuzz.h"

static void check(const char *field, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)field;

	if (p && (p < data || p >= data + size || strlen(field) >= (size_t)(data + size - p)))
		abort();
}

const struct fuzz_memory fuzz_memory = {.fixed = 4096, .per_byte = 1};

void fuzz_one(const uint8_t *data, size_t size)
{
	struct ul_uevent e;

	if (ul_uevent_parse((const char *)data, size, &e) < 0)
		return;
	if (!e.action || !e.devpath)
		abort();
	check(e.action, data, size);
	check(e.devpath, data, size);
	check(e.subsystem, data, size);
	check(e.devname, data, size);
	check(e.modalias, data, size);
}
