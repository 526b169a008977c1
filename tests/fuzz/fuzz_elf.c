/* ELF files as the packer reads them: nothing may be read outside the buffer, whatever it says. */
#include <stdlib.h>
#include <string.h>

#include "initrd/pack/elf.h"
#include "initrd/pack/module_tree.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 64};

void fuzz_one(const uint8_t *data, size_t len)
{
	UL_CLEANUP(ul_module_free) struct ul_module m = {0};
	ul_autofree uint8_t *copy = malloc(len ? len : 1);
	ul_autoelf struct ul_elf elf = {0};
	struct ul_error err;
	struct ul_elf_bytes info;

	if (!copy)
		return;
	if (len > 0)
		memcpy(copy, data, len);
	m.path = strdup("input");
	(void)!ul_elf_parse(copy, len, "input", &elf, &err);
	if (ul_elf_section(copy, len, ".modinfo", "input", &info, &err) == 0 && info.data)
		(void)!ul_modinfo_parse(info.data, info.len, &m, &err);
	/* What is left after stripping is a file that reads as before, or was malformed before. */
	if (ul_elf_strip(copy, len) > len)
		abort();
}
