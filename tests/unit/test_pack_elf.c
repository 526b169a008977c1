/* The packer's ELF reader: what it takes from a good file, and each kind of bad file it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "initrd/pack/elf.h"
#include "tests/unit/elf_maker.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"

static void reads_a_library(void **state)
{
	ul_autoelf struct ul_elf elf = {0};
	struct made_library lib;
	struct ul_error err;

	(void)state;
	make_library(&lib, EM_AARCH64, LOADER, "libz.so.1 libc.so.6", DT_RUNPATH, "/a:$ORIGIN/b");
	assert_int_equal(ul_elf_parse(lib.bytes.data, lib.bytes.len, "x", &elf, &err), 0);
	assert_int_equal(elf.machine, EM_AARCH64);
	assert_string_equal(elf.interpreter, LOADER);
	assert_int_equal(elf.needed.n, 2);
	assert_string_equal(elf.needed.at[0], "libz.so.1");
	assert_string_equal(elf.needed.at[1], "libc.so.6");
	assert_string_equal(elf.runpath, "/a:$ORIGIN/b");
	assert_null(elf.rpath);
	ul_buffer_free(&lib.bytes);
}

static void reads_a_static_program(void **state)
{
	ul_autoelf struct ul_elf elf = {0};
	struct made_library lib;
	struct ul_error err;

	(void)state;
	make_library(&lib, EM_X86_64, NULL, "", DT_RPATH, "/old");
	assert_int_equal(ul_elf_parse(lib.bytes.data, lib.bytes.len, "x", &elf, &err), 0);
	assert_null(elf.interpreter);
	assert_int_equal(elf.needed.n, 0);
	assert_string_equal(elf.rpath, "/old");
	ul_buffer_free(&lib.bytes);
}

/* Every cut of a good file is refused, or is long enough to hold all that is read. */
static void every_truncation(void **state)
{
	struct made_library lib;
	struct ul_error err;

	(void)state;
	make_library(&lib, EM_X86_64, LOADER, "liba.so", DT_RUNPATH, "/a");
	for (size_t len = 0; len < lib.bytes.len; len++) {
		ul_autoelf struct ul_elf elf = {0};
		/* A copy of just this length lets the sanitizer see a read behind it. */
		uint8_t *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		memcpy(cut, lib.bytes.data, len);
		assert_int_equal(ul_elf_parse(cut, len, "cut.so", &elf, &err), -UL_E_INPUT);
		assert_string_equal(err.object, "cut.so");
		assert_int_equal(ul_elf_strip(cut, len), len);
		free(cut);
	}
	ul_buffer_free(&lib.bytes);
}

/* Damage that a test does to a good file, and the reason it must be refused for. */
static void wrong_magic(struct made_library *l)
{
	l->header->e_ident[1] = 'F';
}

static void class_32(struct made_library *l)
{
	l->header->e_ident[EI_CLASS] = ELFCLASS32;
}

static void big_endian(struct made_library *l)
{
	l->header->e_ident[EI_DATA] = ELFDATA2MSB;
}

static void segments_outside(struct made_library *l)
{
	l->header->e_phoff = l->bytes.len - 8;
}

static void segments_wrap(struct made_library *l)
{
	l->header->e_phoff = UINT64_MAX - 8;
}

static void absurd_segments(struct made_library *l)
{
	l->header->e_phnum = 60000;
}

static void segment_size(struct made_library *l)
{
	l->header->e_phentsize = 1;
}

static void dynamic_outside(struct made_library *l)
{
	l->dynamic->p_offset = UINT64_MAX - 4;
}

static void absurd_dynamic(struct made_library *l)
{
	l->dynamic->p_filesz = (uint64_t)1 << 40;
	l->dynamic->p_offset = 0;
}

static void two_dynamics(struct made_library *l)
{
	l->interp->p_type = PT_DYNAMIC;
	l->interp->p_filesz = 0;
}

static void loader_relative(struct made_library *l)
{
	l->bytes.data[l->interp->p_offset] = 'x';
}

static void loader_unterminated(struct made_library *l)
{
	l->interp->p_filesz -= 1;
}

static void strings_unmapped(struct made_library *l)
{
	l->load->p_vaddr = 0x900000;
}

static void strings_outside(struct made_library *l)
{
	l->entries[l->entry_count - 2].d_un.d_val = UINT64_MAX;
}

static void name_outside(struct made_library *l)
{
	l->entries[0].d_un.d_val = 1 << 20;
}

static void name_unterminated(struct made_library *l)
{
	l->entries[l->entry_count - 2].d_un.d_val -= 1;
}

static void name_empty(struct made_library *l)
{
	l->entries[0].d_un.d_val = 0;
}

static void two_runpaths(struct made_library *l)
{
	l->entries[0].d_tag = DT_RUNPATH;
}

static void every_defect(void **state)
{
	static const struct {
		void (*damage)(struct made_library *l);
		const char *why;
	} rows[] = {
		{wrong_magic, "it does not start as an ELF file does"},
		{class_32, "it is not a 64-bit little-endian ELF file"},
		{big_endian, "it is not a 64-bit little-endian ELF file"},
		{segments_outside, "its program headers lie outside the file"},
		{segments_wrap, "its program headers lie outside the file"},
		{absurd_segments, "it has absurdly many program headers"},
		{segment_size, "its program headers have an unknown size"},
		{dynamic_outside, "its dynamic section lies outside the file"},
		{absurd_dynamic, "its dynamic section lies outside the file"},
		{two_dynamics, "it has two dynamic sections"},
		{loader_relative, "the name of its loader is not an absolute path"},
		{loader_unterminated, "the name of its loader is not an absolute path"},
		{strings_unmapped, "its dynamic string table lies outside the file"},
		{strings_outside, "its dynamic string table lies outside the file"},
		{name_outside, "a name in its dynamic section lies outside the string table"},
		{name_unterminated, "a name in its dynamic section lies outside the string table"},
		{name_empty, "it needs a library without a name"},
		{two_runpaths, "it has two library search paths of the same kind"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		ul_autoelf struct ul_elf elf = {0};
		struct made_library lib;
		struct ul_error err;

		make_library(&lib, EM_X86_64, LOADER, "liba.so", DT_RUNPATH, "/a");
		rows[i].damage(&lib);
		assert_int_equal(ul_elf_parse(lib.bytes.data, lib.bytes.len, "x", &elf, &err), -UL_E_INPUT);
		assert_string_equal(err.why, rows[i].why);
		assert_null(elf.interpreter);
		ul_buffer_free(&lib.bytes);
	}
}

static void absurdly_many_libraries(void **state)
{
	ul_autoelf struct ul_elf elf = {0};
	struct made_library lib;
	struct ul_error err;
	Elf64_Dyn *entries;
	size_t at;

	(void)state;
	make_library(&lib, EM_X86_64, NULL, "liba.so", DT_RUNPATH, NULL);
	at = lib.bytes.len;
	assert_int_equal(ul_buffer_reserve(&lib.bytes, 300 * sizeof(Elf64_Dyn)), 0);
	lib.load = (void *)(lib.bytes.data + sizeof(Elf64_Ehdr));
	lib.dynamic = lib.load + 1;
	/* The old entries are kept in front: 300 more names, then the string table's place. */
	entries = (void *)(lib.bytes.data + at);
	memcpy(entries, lib.bytes.data + lib.dynamic->p_offset, 3 * sizeof(*entries));
	for (size_t i = 3; i < 300; i++)
		entries[i] = entries[0];
	lib.dynamic->p_offset = at;
	lib.dynamic->p_filesz = 300 * sizeof(*entries);
	lib.bytes.len += 300 * sizeof(*entries);
	assert_int_equal(ul_elf_parse(lib.bytes.data, lib.bytes.len, "x", &elf, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "it needs absurdly many libraries");
	ul_buffer_free(&lib.bytes);
}

static void strips_behind_the_segments(void **state)
{
	ul_autoelf struct ul_elf elf = {0};
	struct made_library lib;
	struct ul_error err;
	Elf64_Ehdr header;
	size_t len;

	(void)state;
	make_library(&lib, EM_X86_64, LOADER, "liba.so", DT_RUNPATH, "/a");
	len = lib.bytes.len;
	lib.header->e_shoff = len;
	lib.header->e_shnum = 1;
	assert_int_equal(ul_buffer_append(&lib.bytes, "debug information", 17), 0);
	assert_int_equal(ul_elf_strip(lib.bytes.data, lib.bytes.len), len);
	memcpy(&header, lib.bytes.data, sizeof(header));
	assert_int_equal(header.e_shoff, 0);
	assert_int_equal(header.e_shnum, 0);
	assert_int_equal(ul_elf_parse(lib.bytes.data, len, "x", &elf, &err), 0);
	assert_string_equal(elf.needed.at[0], "liba.so");
	ul_buffer_free(&lib.bytes);
}

static void finds_a_section(void **state)
{
	ul_autobuffer struct ul_buffer module = {0};
	struct ul_elf_bytes at;
	struct ul_error err;

	(void)state;
	make_module(&module, "name=x", 7);
	assert_int_equal(ul_elf_section(module.data, module.len, ".modinfo", "x", &at, &err), 0);
	assert_int_equal(at.len, 7);
	assert_memory_equal(at.data, "name=x", 7);
	assert_int_equal(ul_elf_section(module.data, module.len, ".text", "x", &at, &err), 0);
	assert_null(at.data);
	for (size_t cut = 0; cut < module.len; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1);

		assert_non_null(copy);
		memcpy(copy, module.data, cut);
		assert_int_equal(ul_elf_section(copy, cut, ".modinfo", "x", &at, &err), -UL_E_INPUT);
		free(copy);
	}
}

static void refuses_a_bad_section(void **state)
{
	ul_autobuffer struct ul_buffer module = {0};
	struct ul_elf_bytes at;
	struct ul_error err;
	Elf64_Shdr *s;

	(void)state;
	make_module(&module, "name=x", 7);
	s = (void *)(module.data + ((Elf64_Ehdr *)module.data)->e_shoff);
	s[1].sh_size = UINT64_MAX;
	assert_int_equal(ul_elf_section(module.data, module.len, ".modinfo", "x", &at, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "a section lies outside the file");
	s[1].sh_name = 5000;
	assert_int_equal(ul_elf_section(module.data, module.len, ".modinfo", "x", &at, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "a section's name lies outside the string table");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_library),         cmocka_unit_test(reads_a_static_program),
		cmocka_unit_test(every_truncation),        cmocka_unit_test(every_defect),
		cmocka_unit_test(absurdly_many_libraries), cmocka_unit_test(strips_behind_the_segments),
		cmocka_unit_test(finds_a_section),         cmocka_unit_test(refuses_a_bad_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
