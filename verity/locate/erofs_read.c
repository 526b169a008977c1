#include "verity/locate/erofs_read.h"

#include "common/file.h"

static const char WHAT[] = "reading the filesystem's map";

int ul_erofs_malformed(const struct ul_erofs *fs, const char *why)
{
	return ul_error_set(fs->err, UL_E_FILESYSTEM, WHAT, fs->object, NULL, "%s", why);
}

int ul_erofs_read(const struct ul_erofs *fs, uint64_t at, void *buf, size_t len)
{
	int r;

	if (at > fs->size || len > fs->size - at)
		return ul_erofs_malformed(fs, "a part of it would lie behind its end");
	r = ul_pread_full(fs->fd, buf, len, fs->offset + at);
	return r < 0 ? ul_error_errno(fs->err, UL_E_SYSTEM, WHAT, fs->object, NULL, -r) : 0;
}

void ul_erofs_tell(const struct ul_erofs *fs, enum ul_erofs_kind kind, uint64_t at, uint64_t len, uint64_t file_start,
		   uint64_t file_end)
{
	struct ul_erofs_piece piece = {
		.kind = kind, .path = fs->path, .at = at, .len = len, .file_start = file_start, .file_end = file_end};

	if (len > 0 && file_start <= file_end)
		fs->found(fs->user, &piece);
}
