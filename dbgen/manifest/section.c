/* A section of the manifest: where it lies, and its bytes checked and unpacked. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/store/checksum.h"

static const char what[] = "reading the manifest";

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

int ul_manifest_read(const struct ul_manifest *m, void *buf, size_t len, uint64_t offset, struct ul_error *err)
{
	int r = 0;

	if (m->data)
		memcpy(buf, m->data + offset, len);
	else
		r = ul_pread_full(m->fd, buf, len, offset);
	if (r == -ENODATA)
		return ul_manifest_bad(m, err, "it was cut off while it was being read");
	return r < 0 ? ul_error_errno_of_lower(err, UL_E_MANIFEST, what, m->name, NULL, -r) : 0;
}

int ul_manifest_digest(const struct ul_manifest *m, uint32_t i, uint8_t ret[UL_DIGEST_SIZE], struct ul_error *err)
{
	/* The digests are a batch's first section, stored as they are: checked when opened. */
	return ul_manifest_read(
		m, ret, UL_DIGEST_SIZE,
		m->batch_offset[i / UL_MANIFEST_BATCH] + (uint64_t)(i % UL_MANIFEST_BATCH) * UL_DIGEST_SIZE, err);
}

/* A section's bytes as they are stored; where they have to be read, behind the place for what they unpack to. */
static int read_stored(const struct ul_manifest *m, const struct ul_section_entry *e, struct ul_buffer *buf,
		       const uint8_t **ret, struct ul_error *err)
{
	size_t unpacked = e->raw_len == e->stored_len ? 0 : e->raw_len;
	int r;

	buf->len = 0;
	if (ul_buffer_reserve(buf, unpacked + (m->data ? 0 : e->stored_len) + 1) < 0)
		return ul_error_nomem(err, what);
	*ret = m->data ? m->data + e->offset : buf->data + unpacked;
	r = m->data ? 0 : ul_manifest_read(m, buf->data + unpacked, e->stored_len, e->offset, err);
	if (r == 0 && ul_checksum(*ret, e->stored_len) != e->checksum)
		return ul_manifest_bad(m, err, "a checksum is wrong (%u bytes from byte %llu)", e->stored_len,
				       (unsigned long long)e->offset);
	return r;
}

int ul_section_load(const struct ul_manifest *m, ZSTD_DCtx *zstd, const struct ul_section_entry *e,
		    struct ul_buffer *buf, const uint8_t **ret, struct ul_error *err)
{
	const uint8_t *stored = NULL;
	size_t n;
	int r = read_stored(m, e, buf, &stored, err);

	if (r < 0)
		return r;
	if (e->raw_len == e->stored_len) {
		*ret = stored;
		return 0;
	}
	n = ZSTD_decompressDCtx(zstd, buf->data, e->raw_len, stored, e->stored_len);
	if (ZSTD_isError(n) || n != e->raw_len)
		return ul_manifest_bad(m, err, "a frame does not decompress (byte %llu)",
				       (unsigned long long)e->offset);
	*ret = buf->data;
	return 0;
}
