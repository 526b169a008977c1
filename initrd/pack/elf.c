/* Bounds-checked reading of ELF files: dynamic section, loader, one section by name. */
#include "initrd/pack/elf.h"

#include <elf.h>
#include <string.h>

#include "common/bytes.h"

/* The file being read, and where complaints go. */
struct reader {
	const uint8_t *data;
	size_t len;
	const char *name;
	struct ul_error *err;
};

static int malformed(const struct reader *r, const char *why)
{
	return ul_error_set(r->err, UL_E_INPUT, "reading an ELF file", r->name, NULL, "%s", why);
}

static bool inside(const struct reader *r, uint64_t offset, uint64_t len)
{
	return offset <= r->len && len <= r->len - offset;
}

/* A NUL-terminated string at offset that ends before the end of its area; NULL: there is no such string. */
static const char *text_at(const struct reader *r, uint64_t area, uint64_t area_len, uint64_t offset)
{
	const char *at;

	if (!inside(r, area, area_len) || offset >= area_len)
		return NULL;
	at = (const char *)r->data + area + offset;
	return memchr(at, '\0', (size_t)(area_len - offset)) ? at : NULL;
}

static int check_header(const struct reader *r, Elf64_Ehdr *ret)
{
	if (!ul_elf_is(r->data, r->len))
		return malformed(r, "it does not start as an ELF file does");
	if (r->len < sizeof(*ret))
		return malformed(r, "it ends within the ELF header");
	if (r->data[EI_CLASS] != ELFCLASS64 || r->data[EI_DATA] != ELFDATA2LSB)
		return malformed(r, "it is not a 64-bit little-endian ELF file");
	memcpy(ret, r->data, sizeof(*ret));
	ret->e_type = le16toh(ret->e_type);
	ret->e_machine = le16toh(ret->e_machine);
	ret->e_phoff = le64toh(ret->e_phoff);
	ret->e_shoff = le64toh(ret->e_shoff);
	ret->e_phentsize = le16toh(ret->e_phentsize);
	ret->e_phnum = le16toh(ret->e_phnum);
	ret->e_shentsize = le16toh(ret->e_shentsize);
	ret->e_shnum = le16toh(ret->e_shnum);
	ret->e_shstrndx = le16toh(ret->e_shstrndx);
	return 0;
}

static int check_segments(const struct reader *r, const Elf64_Ehdr *h)
{
	if (h->e_phnum == 0)
		return 0;
	if (h->e_phentsize != sizeof(Elf64_Phdr))
		return malformed(r, "its program headers have an unknown size");
	if (h->e_phnum > UL_ELF_SEGMENTS_MAX)
		return malformed(r, "it has absurdly many program headers");
	if (!inside(r, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		return malformed(r, "its program headers lie outside the file");
	return 0;
}

static Elf64_Phdr segment(const struct reader *r, const Elf64_Ehdr *h, size_t i)
{
	Elf64_Phdr p;

	memcpy(&p, r->data + h->e_phoff + i * sizeof(p), sizeof(p));
	p.p_type = le32toh(p.p_type);
	p.p_offset = le64toh(p.p_offset);
	p.p_vaddr = le64toh(p.p_vaddr);
	p.p_filesz = le64toh(p.p_filesz);
	return p;
}

/* The file offset of len bytes at a virtual address, by the loaded segments. false: not loaded. */
static bool file_offset(const struct reader *r, const Elf64_Ehdr *h, uint64_t address, uint64_t len, uint64_t *ret)
{
	for (size_t i = 0; i < h->e_phnum; i++) {
		Elf64_Phdr p = segment(r, h, i);
		uint64_t into = address - p.p_vaddr;

		if (p.p_type != PT_LOAD || address < p.p_vaddr || into > p.p_filesz || len > p.p_filesz - into ||
		    !inside(r, p.p_offset, p.p_filesz))
			continue;
		*ret = p.p_offset + into;
		return true;
	}
	return false;
}

static Elf64_Dyn dynamic_entry(const struct reader *r, uint64_t at)
{
	return (Elf64_Dyn){.d_tag = (int64_t)ul_get_le64(r->data + at), .d_un.d_val = ul_get_le64(r->data + at + 8)};
}

/* Where the strings of the dynamic section are. */
struct strings {
	uint64_t offset; /* bytes from the start of the file */
	uint64_t len;
};

static int find_strings(const struct reader *r, const Elf64_Ehdr *h, uint64_t start, size_t count, struct strings *ret)
{
	uint64_t address = 0, len = 0;
	bool have = false;

	for (size_t i = 0; i < count; i++) {
		Elf64_Dyn d = dynamic_entry(r, start + i * sizeof(d));

		if (d.d_tag == DT_NULL)
			break;
		have |= d.d_tag == DT_STRTAB;
		if (d.d_tag == DT_STRTAB)
			address = d.d_un.d_val;
		if (d.d_tag == DT_STRSZ)
			len = d.d_un.d_val;
	}
	*ret = (struct strings){0};
	if (!have)
		return 0;
	ret->len = len;
	if (!file_offset(r, h, address, len, &ret->offset))
		return malformed(r, "its dynamic string table lies outside the file");
	return 0;
}

static int take_entry(const struct reader *r, const struct strings *s, Elf64_Dyn d, struct ul_elf *elf)
{
	char **path = d.d_tag == DT_RPATH ? &elf->rpath : &elf->runpath;
	const char *text;

	if (d.d_tag != DT_NEEDED && d.d_tag != DT_RPATH && d.d_tag != DT_RUNPATH)
		return 0;
	text = text_at(r, s->offset, s->len, d.d_un.d_val);
	if (!text)
		return malformed(r, "a name in its dynamic section lies outside the string table");
	if (d.d_tag == DT_NEEDED) {
		if (*text == '\0')
			return malformed(r, "it needs a library without a name");
		if (elf->needed.n >= UL_ELF_NEEDED_MAX)
			return malformed(r, "it needs absurdly many libraries");
		return ul_names_add(&elf->needed, text) < 0 ? ul_error_nomem(r->err, "reading an ELF file") : 0;
	}
	if (*path)
		return malformed(r, "it has two library search paths of the same kind");
	*path = strdup(text);
	return *path ? 0 : ul_error_nomem(r->err, "reading an ELF file");
}

static int read_dynamic(const struct reader *r, const Elf64_Ehdr *h, const Elf64_Phdr *p, struct ul_elf *elf)
{
	size_t count = (size_t)(p->p_filesz / sizeof(Elf64_Dyn));
	struct strings strings;
	int result;

	if (!inside(r, p->p_offset, p->p_filesz))
		return malformed(r, "its dynamic section lies outside the file");
	if (count > UL_ELF_DYNAMIC_MAX)
		return malformed(r, "its dynamic section is absurdly long");
	result = find_strings(r, h, p->p_offset, count, &strings);
	for (size_t i = 0; result == 0 && i < count; i++) {
		Elf64_Dyn d = dynamic_entry(r, p->p_offset + i * sizeof(d));

		if (d.d_tag == DT_NULL)
			break;
		result = take_entry(r, &strings, d, elf);
	}
	return result;
}

static int read_interpreter(const struct reader *r, const Elf64_Phdr *p, struct ul_elf *elf)
{
	const char *text = text_at(r, p->p_offset, p->p_filesz, 0);

	if (!text || text[0] != '/')
		return malformed(r, "the name of its loader is not an absolute path");
	elf->interpreter = strdup(text);
	return elf->interpreter ? 0 : ul_error_nomem(r->err, "reading an ELF file");
}

static int read_segments(const struct reader *r, const Elf64_Ehdr *h, struct ul_elf *elf)
{
	bool have_dynamic = false;
	int result = 0;

	for (size_t i = 0; result == 0 && i < h->e_phnum; i++) {
		Elf64_Phdr p = segment(r, h, i);

		if (p.p_type == PT_INTERP) {
			if (elf->interpreter)
				return malformed(r, "it names two loaders");
			result = read_interpreter(r, &p, elf);
		} else if (p.p_type == PT_DYNAMIC) {
			if (have_dynamic)
				return malformed(r, "it has two dynamic sections");
			have_dynamic = true;
			result = read_dynamic(r, h, &p, elf);
		}
	}
	return result;
}

static Elf64_Shdr section_header(const struct reader *r, const Elf64_Ehdr *h, size_t i)
{
	Elf64_Shdr s;

	memcpy(&s, r->data + h->e_shoff + i * sizeof(s), sizeof(s));
	s.sh_name = le32toh(s.sh_name);
	s.sh_type = le32toh(s.sh_type);
	s.sh_offset = le64toh(s.sh_offset);
	s.sh_size = le64toh(s.sh_size);
	return s;
}

bool ul_elf_is(const uint8_t *data, size_t len)
{
	return len >= EI_NIDENT && !memcmp(data, ELFMAG, SELFMAG);
}

int ul_elf_parse(const uint8_t *data, size_t len, const char *name, struct ul_elf *ret, struct ul_error *err)
{
	struct reader r = {data, len, name, err};
	ul_autoelf struct ul_elf elf = {0};
	Elf64_Ehdr header;
	int result = check_header(&r, &header);

	if (result == 0)
		result = check_segments(&r, &header);
	if (result < 0)
		return result;
	elf.type = header.e_type;
	elf.machine = header.e_machine;
	result = read_segments(&r, &header, &elf);
	if (result < 0)
		return result;
	*ret = elf;
	elf = (struct ul_elf){0};
	return 0;
}

int ul_elf_section(const uint8_t *data, size_t len, const char *section, const char *name, struct ul_elf_bytes *ret,
		   struct ul_error *err)
{
	struct reader r = {data, len, name, err};
	Elf64_Shdr names;
	Elf64_Ehdr h;
	int result = check_header(&r, &h);

	if (result < 0)
		return result;
	/* More than 65279 sections need an extension that no module uses. */
	if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum == 0 || h.e_shstrndx >= h.e_shnum ||
	    !inside(&r, h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr)))
		return malformed(&r, "its section headers are malformed or lie outside the file");
	names = section_header(&r, &h, h.e_shstrndx);
	for (size_t i = 0; i < h.e_shnum; i++) {
		Elf64_Shdr s = section_header(&r, &h, i);
		const char *text = text_at(&r, names.sh_offset, names.sh_size, s.sh_name);

		if (!text)
			return malformed(&r, "a section's name lies outside the string table");
		if (strcmp(text, section) != 0)
			continue;
		if (s.sh_type == SHT_NOBITS || !inside(&r, s.sh_offset, s.sh_size))
			return malformed(&r, "a section lies outside the file");
		*ret = (struct ul_elf_bytes){data + s.sh_offset, (size_t)s.sh_size};
		return 0;
	}
	*ret = (struct ul_elf_bytes){0};
	return 0;
}

size_t ul_elf_strip(uint8_t *data, size_t len)
{
	struct reader r = {data, len, "", NULL};
	uint64_t end = sizeof(Elf64_Ehdr);
	Elf64_Ehdr h;

	if (check_header(&r, &h) < 0 || check_segments(&r, &h) < 0 || h.e_phnum == 0)
		return len;
	if (h.e_phoff + h.e_phnum * sizeof(Elf64_Phdr) > end)
		end = h.e_phoff + h.e_phnum * sizeof(Elf64_Phdr);
	for (size_t i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr p = segment(&r, &h, i);

		if (!inside(&r, p.p_offset, p.p_filesz))
			return len;
		if (p.p_offset + p.p_filesz > end)
			end = p.p_offset + p.p_filesz;
	}
	memset(data + offsetof(Elf64_Ehdr, e_shoff), 0, sizeof(h.e_shoff));
	memset(data + offsetof(Elf64_Ehdr, e_shnum), 0, sizeof(h.e_shnum));
	memset(data + offsetof(Elf64_Ehdr, e_shstrndx), 0, sizeof(h.e_shstrndx));
	return (size_t)end;
}

void ul_elf_free(struct ul_elf *elf)
{
	free(elf->interpreter);
	ul_names_free(&elf->needed);
	free(elf->rpath);
	free(elf->runpath);
	*elf = (struct ul_elf){0};
}
