/*
 * A persistent upper's device of any bytes, as it is looked at before it is mounted: libblkid's probers of the
 * permitted filesystems, or all of them where the policy wants to know that the device is empty.
 *
 *     byte 0   bit 0: the policy formats empty devices; bits 1-7: the device's size, in 64 KiB, less one
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "initrd/upper/upper.h"
#include "tests/fuzz/fuzz.h"

/* libblkid's buffers: what it reads at a device's start and end. */
const struct fuzz_memory fuzz_memory = {.fixed = 8 << 20, .per_byte = 64};

void fuzz_one(const uint8_t *data, size_t len)
{
	struct ul_upper_probe found;
	struct ul_policy p;
	struct ul_error err;
	static int fd = -1;
	off_t size;

	if (len < 1)
		return;
	if (fd < 0)
		fd = memfd_create("upper", MFD_CLOEXEC);
	size = ((off_t)(data[0] >> 1) + 1) << 16;
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data + 1, len - 1, 0) == 0);
	FUZZ_WANT(ftruncate(fd, size) == 0);
	ul_policy_init(&p);
	if (data[0] & 1)
		p.upper_prepare = UL_UPPER_PREPARE_FORMAT;
	if (ul_upper_probe(fd, "fuzz", &p, &found, &err) == 0) {
		FUZZ_WANT((found.content == UL_UPPER_FILESYSTEM) == (found.fs != NULL));
		FUZZ_WANT(memchr(found.uuid, '\0', sizeof(found.uuid)) != NULL);
		FUZZ_WANT(memchr(found.label, '\0', sizeof(found.label)) != NULL);
		FUZZ_WANT(found.size == (uint64_t)size);
	}
	ul_policy_free(&p);
}
