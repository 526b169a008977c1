/*
 * What the packer needs to know of an ELF file: which loader and libraries it asks for, and what
 * stands in a section (a kernel module's .modinfo). 64-bit little-endian files of any machine; every
 * offset, size and count is checked against the file before it is used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/names.h"

/* Bounds on what is believed: real files have some ten segments, a hundred dynamic entries. */
#define UL_ELF_SEGMENTS_MAX 256
#define UL_ELF_DYNAMIC_MAX  4096
#define UL_ELF_NEEDED_MAX   256

/* Free it with ul_elf_free (or ul_autoelf). */
struct ul_elf {
	uint16_t type;          /* ET_EXEC, ET_DYN, ET_REL */
	uint16_t machine;       /* EM_X86_64, EM_AARCH64, ... */
	char *interpreter;      /* PT_INTERP; NULL: none */
	struct ul_names needed; /* DT_NEEDED, in order */
	char *rpath;            /* DT_RPATH; NULL: none */
	char *runpath;          /* DT_RUNPATH; NULL: none */
};

/* Is this the beginning of an ELF file of any class? */
bool ul_elf_is(const uint8_t *data, size_t len);

/*
 * Parse a whole file. name is for messages. Returns 0; -UL_E_INPUT: malformed, or not 64-bit
 * little-endian; -UL_E_MEMORY.
 */
int ul_elf_parse(const uint8_t *data, size_t len, const char *name, struct ul_elf *ret, struct ul_error *err);

/* Bytes of the file that was handed in. */
struct ul_elf_bytes {
	const uint8_t *data;
	size_t len;
};

/* Find a section. *ret is NULL and 0 where the file does not have it. name: as above. Returns 0 or -UL_E_INPUT. */
int ul_elf_section(const uint8_t *data, size_t len, const char *section, const char *name, struct ul_elf_bytes *ret,
		   struct ul_error *err);

/*
 * Drop what no loader reads: everything behind the last segment (symbols, debug information) and the
 * section headers that lead there. data is changed in place. A file that is not well-formed is left
 * as it is. Returns the new length.
 */
size_t ul_elf_strip(uint8_t *data, size_t len);

void ul_elf_free(struct ul_elf *elf);

#define ul_autoelf UL_CLEANUP(ul_elf_free)
