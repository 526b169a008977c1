/* Importing registration text of any bytes, and what comes of it read again. */
#include <stdlib.h>

#include "common/buffer.h"
#include "dbgen/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	struct ul_error err;

	if (!b)
		return 0;
	if (ul_import_registration(b, (const char *)data, size, "fuzz", &err) == 0 &&
	    ul_builder_finish(b, &file, &err) == 0) {
		/* What the builder writes, the reader takes. */
		if (ul_manifest_open_memory(file.data, file.len, &m, &err) < 0 ||
		    ul_manifest_count(m, &totals, &err) < 0)
			abort();
		ul_manifest_close(m);
	}
	ul_builder_free(b);
	return 0;
}
