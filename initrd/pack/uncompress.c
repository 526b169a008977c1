/* Reading files that may be compressed. */
#include "initrd/pack/uncompress.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>

#include "common/file.h"

static const char what[] = "uncompressing";

/* Memory that a decoder may take: xz -9 wants 65 MiB, the kernel's own modules use 1 MiB windows. */
#define DECODER_MEMORY  (128u << 20)
#define ZSTD_WINDOW_LOG 27
#define CHUNK           (256u << 10)

static int damaged(const char *path, const char *why, struct ul_error *err)
{
	return ul_error_set(err, UL_E_INPUT, what, path, NULL, "%s", why);
}

static int read_xz(const struct ul_buffer *in, const char *path, size_t max, struct ul_buffer *ret,
		   struct ul_error *err)
{
	lzma_stream s = LZMA_STREAM_INIT;
	size_t start = ret->len;
	lzma_ret status = lzma_stream_decoder(&s, DECODER_MEMORY, LZMA_CONCATENATED);
	int r = 0;

	s.next_in = in->data;
	s.avail_in = in->len;
	while (r == 0 && status == LZMA_OK) {
		if (ul_buffer_reserve(ret, CHUNK) < 0) {
			r = ul_error_nomem(err, what);
			break;
		}
		s.next_out = ret->data + ret->len;
		s.avail_out = ret->size - ret->len;
		status = lzma_code(&s, LZMA_FINISH);
		ret->len = (size_t)(s.next_out - ret->data);
		if (ret->len - start > max)
			r = damaged(path, "it is larger than anything of its kind should be", err);
	}
	lzma_end(&s);
	if (r == 0 && status == LZMA_MEM_ERROR)
		r = ul_error_nomem(err, what);
	if (r == 0 && status != LZMA_STREAM_END)
		r = damaged(path, "its xz stream is damaged or cut off", err);
	return r;
}

static int read_zstd(const struct ul_buffer *in, const char *path, size_t max, struct ul_buffer *ret,
		     struct ul_error *err)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_inBuffer from = {in->data, in->len, 0};
	size_t start = ret->len, left = 1;
	int r = context ? 0 : ul_error_nomem(err, what);

	if (r == 0)
		ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	while (r == 0 && (from.pos < from.size || left > 0)) {
		ZSTD_outBuffer to;
		size_t had = from.pos;

		if (ul_buffer_reserve(ret, CHUNK) < 0) {
			r = ul_error_nomem(err, what);
			break;
		}
		to = (ZSTD_outBuffer){ret->data + ret->len, ret->size - ret->len, 0};
		left = ZSTD_decompressStream(context, &to, &from);
		ret->len += to.pos;
		if (ZSTD_isError(left))
			r = damaged(path, ZSTD_getErrorName(left), err);
		else if (ret->len - start > max)
			r = damaged(path, "it is larger than anything of its kind should be", err);
		else if (to.pos == 0 && from.pos == had)
			r = damaged(path, "its zstd stream is cut off", err);
	}
	ZSTD_freeDCtx(context);
	return r;
}

int ul_read_uncompressed(const char *path, size_t max, struct ul_buffer *ret, struct ul_error *err)
{
	static const uint8_t xz[] = {0xfd, '7', 'z', 'X', 'Z', 0}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd},
			     gzip[] = {0x1f, 0x8b};
	ul_autobuffer struct ul_buffer file = {0};
	int r = ul_read_file(AT_FDCWD, path, max, &file);

	if (r < 0)
		return ul_error_errno(err, r == -ENOMEM ? UL_E_MEMORY : UL_E_SYSTEM, "reading", path, NULL, -r);
	if (file.len >= sizeof(xz) && !memcmp(file.data, xz, sizeof(xz)))
		return read_xz(&file, path, max, ret, err);
	if (file.len >= sizeof(zstd) && !memcmp(file.data, zstd, sizeof(zstd)))
		return read_zstd(&file, path, max, ret, err);
	if (file.len >= sizeof(gzip) && !memcmp(file.data, gzip, sizeof(gzip)))
		return ul_error_set(err, UL_E_INPUT, what, path, "Uncompress the modules' tree with gunzip -r.",
				    "it is compressed with gzip, which is not supported");
	return ul_buffer_append(ret, file.data, file.len) < 0 ? ul_error_nomem(err, "reading") : 0;
}
