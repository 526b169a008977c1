/* One importer on any bytes, and what comes of it read again: what the builder writes, the reader takes. */
#pragma once

#include <stdlib.h>

#include "common/buffer.h"
#include "dbgen/exchange/import.h"
#include "tests/fuzz/fuzz.h"

static inline void import_any(int (*import)(struct ul_builder *, const char *, size_t, const char *, struct ul_error *),
			      const uint8_t *data, size_t size)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	struct ul_error err;

	if (!b)
		return;
	if (import(b, (const char *)data, size, "fuzz", &err) == 0 && ul_builder_finish(b, &file, &err) == 0) {
		if (ul_manifest_open_memory(file.data, file.len, &m, &err) < 0 ||
		    ul_manifest_count(m, &totals, &err) < 0)
			abort();
		ul_manifest_close(m);
	}
	ul_builder_free(b);
}
