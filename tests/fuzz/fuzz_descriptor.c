/* A descriptor of any bytes: what is accepted is written back as the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "verity/format/descriptor.h"
#include "verity/format/hash_tree_geometry.h"

static const char good[] = "underlay-descriptor=1\n"
			   "root-hash=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
			   "hash=sha256\nsalt=00ff\ndata-block-size=4096\nhash-block-size=4096\ndata-blocks=1000\n"
			   "hash-start=4096\nfec-roots=2\nfec-start=1048576\nname=demo\nversion=1.2\n"
			   "rollback-index=7\nmanifest=\n";

/* So many fields must be right at once that mutation alone hardly finds a descriptor: begin with one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return fuzz_mutate_good(good, sizeof(good) - 1, data, size, max, seed);
}

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 16};

void fuzz_one(const uint8_t *data, size_t size)
{
	struct ul_hash_tree_geometry g;
	struct ul_buffer text = {0};
	struct ul_descriptor d;
	struct ul_error err;

	if (ul_descriptor_parse(data, size, &d, &err) < 0)
		return;
	if (!ul_hash_tree_measure(&d, &g) || ul_descriptor_format(&d, &text, &err) < 0 || text.len != size ||
	    memcmp(text.data, data, size) != 0)
		abort();
	ul_buffer_free(&text);
}
