/* A UKI or its stub of any bytes: sections and signatures lie inside the file, and sections can be added. */
#include <stdint.h>
#include <string.h>

#include "initrd/pack/pe.h"
#include "tests/fuzz/fuzz.h"

/* What is written anew is as long as the file's alignment wants: up to 64 KiB for each part. */
const struct fuzz_memory fuzz_memory = {.fixed = 4 << 20, .per_byte = 64};

static void inside(const uint8_t *part, size_t part_len, const uint8_t *data, size_t len)
{
	FUZZ_WANT(part >= data && part <= data + len && part_len <= (size_t)(data + len - part));
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static const struct ul_pe_addition add[] = {
		{.name = ".osrel", .data = "ID=fuzz\n", .len = 8, .flags = UL_PE_DATA},
		{.name = ".cmdline", .data = "quiet", .len = 5, .flags = UL_PE_DATA},
	};
	ul_autobuffer struct ul_buffer made = {0};
	const uint8_t *der;
	struct ul_pe pe, again;
	struct ul_error err;
	uint32_t at = 0;
	size_t der_len;

	if (ul_pe_parse(data, len, "fuzz", &pe, &err) < 0)
		return;
	FUZZ_WANT(pe.n_sections <= UL_PE_SECTIONS_MAX);
	for (size_t i = 0; i < pe.n_sections; i++)
		inside(data + pe.sections[i].offset, ul_pe_section_len(&pe.sections[i]), data, len);
	while (ul_pe_signature(&pe, &at, &der, &der_len))
		inside(der, der_len, data, len);
	if (ul_pe_append(&pe, add, 2, &made, &err) < 0)
		return;
	FUZZ_WANT(ul_pe_parse(made.data, made.len, "made", &again, &err) == 0);
	FUZZ_WANT(ul_pe_find(&again, ".cmdline") && ul_pe_find(&again, ".osrel"));
}
