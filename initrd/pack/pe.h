/*
 * PE files (what UEFI firmware starts): a bounded reader, and a writer that appends sections. It is what
 * objcopy and ukify do for a unified kernel image, without them: the same input gives the same bytes.
 *
 * The format, as far as it is used here; all numbers are little-endian, offsets are of the file:
 *
 *     0x00  2   "MZ"
 *     0x3c  4   offset of the PE header, P
 *     P     4   "PE\0\0"
 *     P+4   2   machine: 0x8664 x86-64, 0xaa64 aarch64, 0x5064 riscv64
 *     P+6   2   number of sections
 *     P+12  8   place and number of symbols: for debuggers; zeroed, with what follows the last section
 *     P+20  2   size of the optional header, which starts at P+24 = O; the section table follows it
 *     O     2   0x20b: PE32+, the 64-bit form (0x10b: the 32-bit one, refused)
 *     O+4   4   bytes of code; O+8: of initialised data
 *     O+32  4   alignment of sections in memory; O+36: in the file (powers of two)
 *     O+56  4   size of the whole in memory; O+60: of all headers in the file, which is the room there is
 *     O+64  4   checksum: the file's 16-bit words added with end-around carry, this field as 0, plus the length
 *     O+108 4   number of data directories of 8 bytes from O+112; the fifth (O+144) is place and size of the
 *               certificate table: the signatures, at the file's end
 *
 *     a section: 8 bytes of name (no NUL where it fills them), then 4 bytes each: size in memory, address in
 *     memory, size in the file, offset in the file, 12 unused bytes, flags
 *
 * An appended section lies at the next multiple of the alignment, in memory of 4096 at least: pages can
 * then be protected one by one. Its size in memory is that of its data, which is where a stub learns the length.
 *
 * A signature in the certificate table: 4 bytes length (these 8 included), 2 bytes 0x0200, 2 bytes 0x0002,
 * PKCS#7 in DER; the next one begins at a multiple of 8.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define UL_PE_SECTIONS_MAX 96 /* the loader of Windows has this limit, and no stub comes near it */

#define UL_PE_DATA 0x40000040u /* flags of a section: initialised data, readable */
#define UL_PE_CODE 0x60000020u /* code, readable, executable */

struct ul_pe_section {
	char name[9];
	uint32_t memory_size, address; /* bytes */
	uint32_t file_size, offset;    /* bytes of the file; the section lies inside it, checked */
};

struct ul_pe {
	const uint8_t *data; /* borrowed */
	size_t len;
	const char *name; /* of the file, for messages; borrowed */
	uint16_t machine;
	uint32_t header, optional, table; /* offsets of PE header, optional header, section table */
	uint32_t section_alignment, file_alignment, headers_size, image_size;
	uint32_t certificates, certificates_size; /* 0: the file is not signed */
	size_t n_sections;
	struct ul_pe_section sections[UL_PE_SECTIONS_MAX];
};

/* A section to append. */
struct ul_pe_addition {
	const char *name; /* 8 bytes at most */
	const void *data;
	size_t len;
	uint32_t flags;
};

/* Read the headers of data. -UL_E_INPUT: it is not a PE32+ file whose parts lie inside it. */
int ul_pe_parse(const void *data, size_t len, const char *name, struct ul_pe *ret, struct ul_error *err);

/* The first section of that name; NULL. */
const struct ul_pe_section *ul_pe_find(const struct ul_pe *pe, const char *name);

/* The file's bytes of a section, without the padding behind it. */
size_t ul_pe_section_len(const struct ul_pe_section *s);

/*
 * The file with n sections more, in this order, appended to *ret (which is empty). -UL_E_INPUT: the file has one
 * of that name, is signed (a signature would not hold any more), has no room for the table, or would pass 2 GiB.
 */
int ul_pe_append(const struct ul_pe *pe, const struct ul_pe_addition *add, size_t n, struct ul_buffer *ret,
		 struct ul_error *err);

/*
 * The next signature (PKCS#7 in DER) of the certificate table: *at is 0 before the first. false: that was the last.
 * Entries of other kinds are passed over; one whose length is impossible ends the walk.
 */
bool ul_pe_signature(const struct ul_pe *pe, uint32_t *at, const uint8_t **ret_der, size_t *ret_len);

struct ul_pe_machine {
	uint16_t number;
	const char *name;         /* as uname -m has it, nearly: "x86-64", "aarch64" */
	const char *efi;          /* in names of files (UEFI 2.10, table 3.5): "X64" */
	const char *architecture; /* as partition types have it: "x86-64", "arm64" */
};

/* NULL: it is not one of those known here. */
const struct ul_pe_machine *ul_pe_machine_find(uint16_t number);

/* "x86-64"; "unknown" */
const char *ul_pe_machine_name(uint16_t number);
