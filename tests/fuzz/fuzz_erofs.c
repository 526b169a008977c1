/* A filesystem's map, read from any bytes: the walk ends, and what it tells lies in what it was given. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "verity/erofs_walk.h"
#include "verity/squashfs_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_piece(void *user, const struct ul_erofs_piece *piece)
{
	(void)user;
	assert(piece->len > 0);
	assert(strlen(piece->path) < 4096);
	assert(piece->file_start <= piece->file_end);
}

static void on_part(void *user, const char *name, uint64_t at, uint64_t len)
{
	const size_t *size = user;

	assert(*name && at + len <= *size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ul_error err;
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	assert(ul_pwrite_full(fd, data, len, 0) == 0);
	(void)ul_erofs_walk(fd, 0, len, "image", on_piece, NULL, &err);
	(void)ul_squashfs_map(fd, 0, len, "image", on_part, &len, &err);
	close(fd);
	return 0;
}
