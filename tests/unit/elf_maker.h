/* Small ELF files for the packer's tests: whole ones, which a test then damages at a named place. */
#pragma once

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* A shared object. Its parts lie one behind the other, in this order. */
struct made_library {
	struct ul_buffer bytes; /* owned */
	Elf64_Ehdr *header;     /* all of these point into bytes */
	Elf64_Phdr *load, *dynamic, *interp;
	Elf64_Dyn *entries;
	size_t entry_count;
	size_t strings; /* offset of the string table */
};

/*
 * needed: words separated by spaces; interpreter and runpath may be NULL; tag is DT_RUNPATH or
 * DT_RPATH. Free lib.bytes.
 */
void make_library(struct made_library *lib, uint16_t machine, const char *interpreter, const char *needed, int64_t tag,
		  const char *runpath);

/* A relocatable object whose .modinfo holds the len bytes. Appended to *ret. */
void make_module(struct ul_buffer *ret, const char *info, size_t len);
