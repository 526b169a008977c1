/* An earlier boot's report, from a variable or a log that anyone may have written: terminated texts, safe to show. */
#include <stdint.h>
#include <string.h>

#include "initrd/report/last_failure.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 64 << 10, .per_byte = 640};

static void check(const char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	FUZZ_WANT(end != NULL);
	for (const char *p = text; p < end; p++)
		FUZZ_WANT((unsigned char)*p >= 0x20 && *p != 0x7f);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct ul_last_failure f;

	if (!ul_last_failure_parse((const char *)data, size, &f))
		return;
	FUZZ_WANT(size <= UL_LAST_FAILURE_MAX && f.code <= 9999);
	check(f.name, sizeof(f.name));
	check(f.stage, sizeof(f.stage));
	check(f.sentence, sizeof(f.sentence));
	check(f.underlay, sizeof(f.underlay));
}
