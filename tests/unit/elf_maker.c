#include "tests/unit/elf_maker.h"

#include <stdlib.h>
#include <string.h>

static size_t append(struct ul_buffer *b, const void *data, size_t len)
{
	size_t at = b->len;

	if (ul_buffer_append(b, data, len) < 0)
		abort();
	return at;
}

static size_t append_zero(struct ul_buffer *b, size_t len)
{
	size_t at = b->len;

	while (len-- > 0)
		append(b, "", 1);
	return at;
}

static Elf64_Ehdr blank_header(uint16_t type, uint16_t machine)
{
	return (Elf64_Ehdr){
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = type,
		.e_machine = machine,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_shentsize = sizeof(Elf64_Shdr),
	};
}

/* Entries first into a list, since the string table's place is known only after them. */
struct names {
	struct ul_buffer strings;
	Elf64_Dyn entries[64];
	size_t count;
};

static void add_name(struct names *n, int64_t tag, const char *text, size_t len)
{
	n->entries[n->count++] = (Elf64_Dyn){.d_tag = tag, .d_un.d_val = n->strings.len};
	append(&n->strings, text, len);
	append(&n->strings, "", 1);
}

void make_library(struct made_library *lib, uint16_t machine, const char *interpreter, const char *needed, int64_t tag,
		  const char *runpath)
{
	Elf64_Ehdr header = blank_header(ET_DYN, machine);
	struct ul_buffer *b = &lib->bytes;
	struct names names = {0};
	size_t interp, entries;

	*lib = (struct made_library){0};
	append_zero(&names.strings, 1);
	for (size_t n; *needed; needed += n + (needed[n] == ' ')) {
		n = strcspn(needed, " ");
		add_name(&names, DT_NEEDED, needed, n);
	}
	if (runpath)
		add_name(&names, tag, runpath, strlen(runpath));
	header.e_phoff = sizeof(header);
	header.e_phnum = interpreter ? 3 : 2;
	append(b, &header, sizeof(header));
	append_zero(b, 3 * sizeof(Elf64_Phdr));
	interp = append(b, interpreter ? interpreter : "", interpreter ? strlen(interpreter) + 1 : 1);
	append_zero(b, 8 - b->len % 8);
	lib->strings = append(b, names.strings.data, names.strings.len);
	append_zero(b, 8 - b->len % 8);
	names.entries[names.count++] = (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = 0x10000 + lib->strings};
	names.entries[names.count++] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = names.strings.len};
	names.entries[names.count++] = (Elf64_Dyn){.d_tag = DT_NULL};
	entries = append(b, names.entries, names.count * sizeof(Elf64_Dyn));
	lib->header = (void *)b->data;
	lib->load = (void *)(b->data + sizeof(header));
	lib->dynamic = lib->load + 1;
	lib->interp = lib->load + 2;
	lib->entries = (void *)(b->data + entries);
	lib->entry_count = names.count;
	*lib->load = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = b->len};
	*lib->dynamic =
		(Elf64_Phdr){.p_type = PT_DYNAMIC, .p_offset = entries, .p_filesz = names.count * sizeof(Elf64_Dyn)};
	*lib->interp = (Elf64_Phdr){
		.p_type = PT_INTERP, .p_offset = interp, .p_filesz = interpreter ? strlen(interpreter) + 1 : 0};
	ul_buffer_free(&names.strings);
}

void make_module(struct ul_buffer *ret, const char *info, size_t len)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	Elf64_Ehdr header = blank_header(ET_REL, EM_X86_64);
	size_t start = ret->len, at_info, at_names;
	Elf64_Shdr sections[3] = {0};

	append(ret, &header, sizeof(header));
	at_info = append(ret, info, len) - start;
	at_names = append(ret, names, sizeof(names)) - start;
	append_zero(ret, 8 - (ret->len - start) % 8);
	sections[1] = (Elf64_Shdr){.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = at_info, .sh_size = len};
	sections[2] =
		(Elf64_Shdr){.sh_name = 10, .sh_type = SHT_STRTAB, .sh_offset = at_names, .sh_size = sizeof(names)};
	header.e_shoff = append(ret, sections, sizeof(sections)) - start;
	header.e_shnum = 3;
	header.e_shstrndx = 2;
	memcpy(ret->data + start, &header, sizeof(header));
}
