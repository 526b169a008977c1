/* One importer on any bytes, and what comes of it read again: what the builder writes, the reader takes. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "dbgen/exchange/import.h"
#include "tests/fuzz/fuzz.h"

typedef int (*fuzz_importer)(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err);

static inline void import_into(struct ul_builder *b, fuzz_importer import, const uint8_t *data, size_t size)
{
	ul_autobuffer struct ul_buffer file = {0};
	ul_autofclose FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	struct ul_error err;

	if (!in)
		return;
	if (import(b, in, "fuzz", &err) == 0 && ul_builder_finish(b, &file, &err) == 0) {
		if (ul_manifest_open_memory(file.data, file.len, &m, &err) < 0 ||
		    ul_manifest_count(m, &totals, &err) < 0)
			abort();
		ul_manifest_close(m);
	}
}

/* All of a source; then the closure of a path that the seeds have, for which the rest is not judged. */
static inline void import_any(fuzz_importer import, const uint8_t *data, size_t size)
{
	static const char *const roots[] = {"/nix/store/00000000000000000000000000000000-a"};

	for (int restricted = 0; restricted < 2; restricted++) {
		struct ul_builder *b = ul_builder_new("/nix/store");

		if (!b)
			return;
		if (!restricted || ul_builder_restrict(b, roots, 1, NULL) == 0)
			import_into(b, import, data, size);
		ul_builder_free(b);
	}
}
