/* Importing registration text of any bytes. */
#include "tests/fuzz/import_any.h"

const struct fuzz_memory fuzz_memory = {.fixed = 4194304, .per_byte = 1200};

void fuzz_one(const uint8_t *data, size_t size)
{
	import_any(ul_import_registration, data, size);
}
