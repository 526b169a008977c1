#include "verity/open/loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"

#define TRIES 64 /* between being told a free one and taking it, another may take it */

int ul_loop_attach(const char *dev_dir, int file_fd, uint64_t offset, uint64_t size, char path[UL_LOOP_PATH],
		   int *ret_fd)
{
	struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.info = {.lo_offset = offset,
			 .lo_sizelimit = size,
			 .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR},
	};
	ul_autoclose int control = -1;

	snprintf(path, UL_LOOP_PATH, "%s/loop-control", dev_dir);
	control = open(path, O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	for (int i = 0; i < TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd, errnum;

		if (number < 0)
			return -errno;
		snprintf(path, UL_LOOP_PATH, "%s/loop%d", dev_dir, number);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret_fd = fd;
			return 0;
		}
		errnum = errno;
		close(fd);
		if (errnum != EBUSY)
			return -errnum;
	}
	return -EBUSY;
}
