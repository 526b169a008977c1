/* Bounds-checked reading of PE files, and the appending of sections. The header tells the format. */
#include "initrd/pack/pe.h"

#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"

static const char appending[] = "appending to a PE file";

#define OPTIONAL_MIN 152 /* bytes: up to and with the fifth data directory */
#define DIRECTORIES  108 /* in the optional header: how many data directories there are */
#define CERTIFICATES 144 /* the fifth: offset in the file, size */
#define ROW          40  /* bytes of a row of the section table */
#define MEMORY_ALIGN 4096
#define SIZE_LIMIT   0x7fffffffu

static int malformed(const char *name, const char *why, struct ul_error *err)
{
	return ul_error_set(err, UL_E_INPUT, "reading a PE file", name, NULL, "%s", why);
}

static bool inside(size_t len, uint64_t offset, uint64_t size)
{
	return offset <= len && size <= len - offset;
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static uint64_t align_up(uint64_t n, uint32_t alignment)
{
	return (n + alignment - 1) & ~(uint64_t)(alignment - 1);
}

/* ---- reading ---- */

static int parse_headers(struct ul_pe *pe, struct ul_error *err)
{
	const uint8_t *p = pe->data;
	uint16_t optional_size;

	if (pe->len < 0x40 || memcmp(p, "MZ", 2) != 0)
		return malformed(pe->name, "it does not start as a PE file does", err);
	pe->header = ul_get_le32(p + 0x3c);
	if (!inside(pe->len, pe->header, 24) || memcmp(p + pe->header, "PE\0", 4) != 0)
		return malformed(pe->name, "it has no PE header", err);
	pe->machine = ul_get_le16(p + pe->header + 4);
	pe->n_sections = ul_get_le16(p + pe->header + 6);
	optional_size = ul_get_le16(p + pe->header + 20);
	pe->optional = pe->header + 24;
	if (optional_size < OPTIONAL_MIN || !inside(pe->len, pe->optional, optional_size))
		return malformed(pe->name, "its optional header is too short", err);
	p += pe->optional;
	if (ul_get_le16(p) != 0x20b)
		return malformed(pe->name, "it is not a 64-bit PE file", err);
	pe->section_alignment = ul_get_le32(p + 32);
	pe->file_alignment = ul_get_le32(p + 36);
	pe->image_size = ul_get_le32(p + 56);
	pe->headers_size = ul_get_le32(p + 60);
	if (!power_of_two(pe->section_alignment) || !power_of_two(pe->file_alignment) ||
	    pe->section_alignment > 0x200000 || pe->file_alignment > 0x10000)
		return malformed(pe->name, "an alignment is too large, or not a power of two", err);
	if (ul_get_le32(p + DIRECTORIES) > 4)
		pe->certificates_size = ul_get_le32(p + CERTIFICATES + 4);
	/* The offset of a table that is not there means nothing. */
	if (pe->certificates_size)
		pe->certificates = ul_get_le32(p + CERTIFICATES);
	if (!inside(pe->len, pe->certificates, pe->certificates_size))
		return malformed(pe->name, "its certificate table lies outside the file", err);
	pe->table = pe->optional + optional_size;
	if (pe->n_sections == 0 || pe->n_sections > UL_PE_SECTIONS_MAX)
		return malformed(pe->name, "it has no sections, or more than 96", err);
	if (pe->headers_size > pe->len || pe->table + pe->n_sections * ROW > pe->headers_size)
		return malformed(pe->name, "its section table lies outside its headers", err);
	return 0;
}

int ul_pe_parse(const void *data, size_t len, const char *name, struct ul_pe *ret, struct ul_error *err)
{
	struct ul_pe pe = {.data = data, .len = len, .name = name};
	int r = parse_headers(&pe, err);

	for (size_t i = 0; r == 0 && i < pe.n_sections; i++) {
		const uint8_t *row = pe.data + pe.table + i * ROW;
		struct ul_pe_section *s = &pe.sections[i];

		memcpy(s->name, row, 8);
		s->memory_size = ul_get_le32(row + 8);
		s->address = ul_get_le32(row + 12);
		s->file_size = ul_get_le32(row + 16);
		s->offset = ul_get_le32(row + 20);
		/* Zeroed memory (.bss) has no bytes in the file, and its offset means nothing. */
		if (s->file_size == 0)
			s->offset = 0;
		if (!inside(len, s->offset, s->file_size))
			r = malformed(name, "a section lies outside the file", err);
	}
	if (r < 0)
		return r;
	*ret = pe;
	return 0;
}

const struct ul_pe_section *ul_pe_find(const struct ul_pe *pe, const char *name)
{
	for (size_t i = 0; i < pe->n_sections; i++)
		if (!strcmp(pe->sections[i].name, name))
			return &pe->sections[i];
	return NULL;
}

size_t ul_pe_section_len(const struct ul_pe_section *s)
{
	return s->memory_size < s->file_size ? s->memory_size : s->file_size;
}

bool ul_pe_signature(const struct ul_pe *pe, uint32_t *at, const uint8_t **ret_der, size_t *ret_len)
{
	uint32_t offset = *at;

	while (offset <= pe->certificates_size && pe->certificates_size - offset >= 8) {
		const uint8_t *entry = pe->data + pe->certificates + offset;
		uint32_t size = ul_get_le32(entry);

		if (size < 8 || size > pe->certificates_size - offset)
			return false;
		offset = (uint32_t)align_up(offset + (uint64_t)size, 8);
		if (ul_get_le16(entry + 6) != 2)
			continue;
		*ret_der = entry + 8;
		*ret_len = size - 8;
		*at = offset;
		return true;
	}
	return false;
}

static const struct ul_pe_machine machines[] = {
	{0x8664, "x86-64", "X64", "x86-64"},
	{0xaa64, "aarch64", "AA64", "arm64"},
	{0x5064, "riscv64", "RISCV64", "riscv64"},
};

const struct ul_pe_machine *ul_pe_machine_find(uint16_t number)
{
	for (size_t i = 0; i < UL_ARRAY_SIZE(machines); i++)
		if (machines[i].number == number)
			return &machines[i];
	return NULL;
}

const char *ul_pe_machine_name(uint16_t number)
{
	const struct ul_pe_machine *machine = ul_pe_machine_find(number);

	return machine ? machine->name : "unknown";
}

/* ---- appending ---- */

/* Where the sections of the file end, in the file and in memory. */
static void find_end(const struct ul_pe *pe, uint64_t *ret_file, uint64_t *ret_memory)
{
	*ret_file = pe->headers_size;
	*ret_memory = pe->image_size;
	for (size_t i = 0; i < pe->n_sections; i++) {
		const struct ul_pe_section *s = &pe->sections[i];
		uint64_t file = (uint64_t)s->offset + s->file_size;
		uint64_t memory =
			(uint64_t)s->address + (s->memory_size > s->file_size ? s->memory_size : s->file_size);

		*ret_file = file > *ret_file ? file : *ret_file;
		*ret_memory = memory > *ret_memory ? memory : *ret_memory;
	}
}

static int check_room(const struct ul_pe *pe, const struct ul_pe_addition *add, size_t n, struct ul_error *err)
{
	uint64_t room = pe->headers_size;

	if (pe->certificates_size)
		return malformed(pe->name, "it is signed, and the signature would be void", err);
	for (size_t i = 0; i < n; i++)
		if (ul_pe_find(pe, add[i].name))
			return ul_error_set(err, UL_E_INPUT, appending, pe->name,
					    "Give systemd's stub as it is packaged.", "it has a section %s already",
					    add[i].name);
	for (size_t i = 0; i < pe->n_sections; i++)
		if (pe->sections[i].file_size && pe->sections[i].offset < room)
			room = pe->sections[i].offset;
	if (pe->n_sections + n > UL_PE_SECTIONS_MAX || pe->table + (pe->n_sections + n) * ROW > room)
		return malformed(pe->name, "its headers have no room for more sections", err);
	return 0;
}

static void put_row(uint8_t *row, const struct ul_pe_addition *add, uint32_t address, uint32_t offset,
		    uint32_t file_size)
{
	memset(row, 0, ROW);
	memcpy(row, add->name, strnlen(add->name, 8));
	ul_put_le32(row + 8, (uint32_t)add->len);
	ul_put_le32(row + 12, address);
	ul_put_le32(row + 16, file_size);
	ul_put_le32(row + 20, offset);
	ul_put_le32(row + 36, add->flags);
}

static uint32_t checksum(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += ul_get_le16(data + i);
	if (len & 1)
		sum += data[len - 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum + (uint32_t)len;
}

static int pad(struct ul_buffer *b, size_t len)
{
	if (ul_buffer_reserve(b, len - b->len) < 0)
		return -ENOMEM;
	memset(b->data + b->len, 0, len - b->len);
	b->len = len;
	return 0;
}

/* The section's bytes, padded to where the next may begin. -ENOMEM */
static int append_data(const struct ul_pe *pe, const struct ul_pe_addition *add, struct ul_buffer *out)
{
	int r = ul_buffer_append(out, add->data, add->len);

	return r < 0 ? r : pad(out, align_up(out->len, pe->file_alignment));
}

/* The numbers of the headers that change with the sections. */
static void put_sizes(const struct ul_pe *pe, struct ul_buffer *out, uint32_t data, uint32_t code, uint32_t image_size)
{
	uint8_t *o = out->data + pe->optional;

	memset(out->data + pe->header + 12, 0, 8); /* the symbols are gone */
	if (ul_get_le32(o + DIRECTORIES) > 4)
		memset(o + CERTIFICATES, 0, 8); /* none (check_room), and their place may have been cut off */
	ul_put_le32(o + 4, ul_get_le32(o + 4) + code);
	ul_put_le32(o + 8, ul_get_le32(o + 8) + data);
	ul_put_le32(o + 56, image_size);
	ul_put_le32(o + 64, 0);
	ul_put_le32(o + 64, checksum(out->data, out->len));
}

int ul_pe_append(const struct ul_pe *pe, const struct ul_pe_addition *add, size_t n, struct ul_buffer *ret,
		 struct ul_error *err)
{
	uint32_t align = pe->section_alignment > MEMORY_ALIGN ? pe->section_alignment : MEMORY_ALIGN;
	uint64_t file, memory, total, room, sums[2] = {0};
	ul_autobuffer struct ul_buffer out = {0};
	int r = check_room(pe, add, n, err);

	if (r < 0)
		return r;
	find_end(pe, &file, &memory);
	total = file + memory;
	room = align_up(file, pe->file_alignment);
	for (size_t i = 0; i < n; i++) {
		total += align_up(add[i].len, align) + align;
		room += align_up(add[i].len, pe->file_alignment);
	}
	if (total > SIZE_LIMIT)
		return malformed(pe->name, "with the new sections it would pass 2 GiB", err);
	/* Not total: what a stub says of addresses must not be what it makes us allocate. */
	r = ul_buffer_reserve(&out, room);
	if (r == 0)
		r = ul_buffer_append(&out, pe->data, file);
	if (r == 0)
		r = pad(&out, align_up(file, pe->file_alignment));
	for (size_t i = 0; r == 0 && i < n; i++) {
		size_t offset = out.len;

		memory = align_up(memory, align);
		r = append_data(pe, &add[i], &out);
		if (r < 0)
			break;
		put_row(out.data + pe->table + (pe->n_sections + i) * ROW, &add[i], (uint32_t)memory, (uint32_t)offset,
			(uint32_t)(out.len - offset));
		memory += add[i].len;
		sums[add[i].flags == UL_PE_CODE] += out.len - offset;
	}
	if (r < 0)
		return ul_error_nomem(err, appending);
	ul_put_le16(out.data + pe->header + 6, (uint16_t)(pe->n_sections + n));
	put_sizes(pe, &out, (uint32_t)sums[0], (uint32_t)sums[1], (uint32_t)align_up(memory, align));
	*ret = out;
	out = (struct ul_buffer){0};
	return 0;
}
