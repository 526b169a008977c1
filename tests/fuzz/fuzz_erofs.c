/* A filesystem's map, read from any bytes: the walk ends, and what it tells lies in what it was given. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "verity/locate/erofs_walk.h"
#include "verity/locate/squashfs_map.h"

/* One block of each of 256 directories inside each other, and no more than there is. */
const struct fuzz_memory fuzz_memory = {.fixed = 512 << 10, .per_byte = 320};

static void on_piece(void *user, const struct ul_erofs_piece *piece)
{
	(void)user;
	FUZZ_WANT(piece->len > 0);
	FUZZ_WANT(strlen(piece->path) < 4096);
	FUZZ_WANT(piece->file_start <= piece->file_end);
}

static void on_part(void *user, const char *name, uint64_t at, uint64_t len)
{
	const size_t *size = user;

	FUZZ_WANT(*name && at + len <= *size);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static int fd = -1;
	struct ul_extent all = {.device = (char *)"image", .size = len};
	struct ul_error err;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data, len, 0) == 0);
	(void)ul_erofs_walk(fd, &all, on_piece, NULL, &err);
	(void)ul_squashfs_map(fd, &all, on_part, &len, &err);
}
