/* A section of the manifest: where it lies, and its bytes checked and unpacked. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbgen/manifest/internal.h"
#include "dbgen/store/checksum.h"

static const char what[] = "reading the manifest";

#define POPULATE_MIN (64U << 10) /* bytes */

int ul_manifest_bad(const struct ul_manifest *m, struct ul_error *err, const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return ul_error_set(err, UL_E_MANIFEST, what, m->name, "Make it again with `underlay manifest create`.", "%s",
			    why);
}

struct ul_section_entry ul_section_entry_parse(const uint8_t *p)
{
	return (struct ul_section_entry){
		.raw_len = ul_get_le32(p),
		.stored_len = ul_get_le32(p + 4),
		.checksum = ul_get_le64(p + 8),
	};
}

struct ul_section_entry ul_manifest_section(const struct ul_manifest *m, uint32_t k, enum ul_section s)
{
	const uint8_t *row = m->index + (size_t)k * UL_MANIFEST_INDEX + 8;
	struct ul_section_entry e = ul_section_entry_parse(row + (size_t)s * UL_MANIFEST_ENTRY);

	e.offset = m->batch_offset[k];
	for (unsigned int i = 0; i < s; i++)
		e.offset += ul_section_entry_parse(row + (size_t)i * UL_MANIFEST_ENTRY).stored_len;
	return e;
}

/*
 * Map a long section's pages with one call instead of a fault for every sixteen. Only to be faster: where the
 * kernel does not know of it, or a read fails, the faults come one by one.
 */
static void populate(const struct ul_manifest *m, const struct ul_section_entry *e)
{
#ifdef MADV_POPULATE_READ
	size_t page = (size_t)sysconf(_SC_PAGESIZE), start = e->offset / page * page;

	if (m->mapped && e->stored_len >= POPULATE_MIN)
		madvise((uint8_t *)m->mapped + start, e->offset + e->stored_len - start, MADV_POPULATE_READ);
#endif
}

int ul_section_load(const struct ul_manifest *m, ZSTD_DCtx *zstd, const struct ul_section_entry *e,
		    struct ul_buffer *buf, const uint8_t **ret, struct ul_error *err)
{
	const uint8_t *stored = m->data + e->offset;
	size_t n;

	populate(m, e);
	if (ul_checksum(stored, e->stored_len) != e->checksum)
		return ul_manifest_bad(m, err, "a checksum is wrong (%u bytes from byte %llu)", e->stored_len,
				       (unsigned long long)e->offset);
	if (e->raw_len == e->stored_len) {
		*ret = stored;
		return 0;
	}
	buf->len = 0;
	if (ul_buffer_reserve(buf, e->raw_len) < 0)
		return ul_error_nomem(err, what);
	n = ZSTD_decompressDCtx(zstd, buf->data, e->raw_len, stored, e->stored_len);
	if (ZSTD_isError(n) || n != e->raw_len)
		return ul_manifest_bad(m, err, "a frame does not decompress (byte %llu)",
				       (unsigned long long)e->offset);
	*ret = buf->data;
	return 0;
}
