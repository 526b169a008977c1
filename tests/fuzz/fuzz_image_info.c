/* image.json of any bytes: what is accepted can be written, and read again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "verity/format/image_info.h"
#include "verity/format/version.h"

static const char good[] = "{\"format\":1,\"name\":\"demo\",\"version\":\"1.2\",\"system\":\"/nix/store/x-demo\","
			   "\"storeDir\":\"/nix/store\",\"paths\":1234,\"narSize\":123456789,\"manifestFormat\":1,"
			   "\"nixSchema\":10,\"database\":true}\n";

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return fuzz_mutate_good(good, sizeof(good) - 1, data, size, max, seed);
}

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 640};

void fuzz_one(const uint8_t *data, size_t size)
{
	struct ul_buffer text = {0}, again = {0};
	struct ul_image_info info, back;
	struct ul_error err;

	if (ul_image_info_parse((const char *)data, size, &info, &err) < 0)
		return;
	if (ul_version_compare(info.version, info.name) != -ul_version_compare(info.name, info.version))
		abort();
	if (ul_image_info_format(&info, &text, &err) < 0 ||
	    ul_image_info_parse((const char *)text.data, text.len, &back, &err) < 0 ||
	    ul_image_info_format(&back, &again, &err) < 0 || again.len != text.len ||
	    memcmp(again.data, text.data, text.len) != 0)
		abort();
	ul_image_info_free(&info);
	ul_image_info_free(&back);
	ul_buffer_free(&text);
	ul_buffer_free(&again);
}
