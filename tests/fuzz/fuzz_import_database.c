/*
 * A Nix database of any bytes, as `--database` and the boot's merging read one: through SQLite, which is the
 * one parser of its pages. A file that is cut or bent must end as a reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "dbgen/exchange/import.h"
#include "tests/fuzz/import_any.h"

/* SQLite's own memory: a page cache of 2 MB, counted fixed. */
const struct fuzz_memory fuzz_memory = {.fixed = 8 << 20, .per_byte = 2000};

/* SQLite follows links, and what a memfd's leads to is no path. */
static char path[] = "/dev/shm/underlay-fuzz-XXXXXX";

static void forget(void)
{
	(void)unlink(path);
}

static int import(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err)
{
	static uint8_t data[1 << 16];
	size_t size = fread(data, 1, sizeof(data), in);
	static int fd = -1;

	(void)name;
	if (fd < 0) {
		fd = mkstemp(path);
		FUZZ_WANT(fd >= 0);
		(void)atexit(forget);
	}
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data, size, 0) == 0);
	return ul_import_database(b, path, err);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	import_any(import, data, size);
}
