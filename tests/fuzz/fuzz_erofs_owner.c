/* The change of one owner in an erofs that somebody else's program made: it may refuse, and writes nowhere else. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "verity/image/erofs_owner.h"

const struct fuzz_memory fuzz_memory = {.fixed = 256 << 10, .per_byte = 16};

void fuzz_one(const uint8_t *data, size_t size)
{
	static uint8_t after[1 << 16];
	static int fd = -1;
	size_t changed = 0;

	if (fd < 0)
		fd = memfd_create("erofs", MFD_CLOEXEC);
	if (size > sizeof(after))
		return;
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data, size, 0) == 0);
	(void)!ul_erofs_set_group(fd, 0, "fuzz", "nix/store", 30000, NULL);
	FUZZ_WANT(lseek(fd, 0, SEEK_END) == (off_t)size);
	FUZZ_WANT(ul_pread_full(fd, after, size, 0) == 0);
	for (size_t i = 0; i < size; i++)
		changed += after[i] != data[i];
	/* Mode, group and checksum. */
	FUZZ_WANT(changed <= 10);
}
