/*
 * The kernel's uevents, straight from netlink: in our initramfs no udev runs. A message is
 * `ACTION@DEVPATH`, a NUL, then KEY=VALUE texts, each ended by a NUL.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

#define UL_UEVENT_MAX 8192 /* bytes of a message; the kernel's own limit is 2048 plus the head */

/* Fields point into the message; NULL where the message has none. */
struct ul_uevent {
	const char *action;    /* "add", "change", "remove", ... */
	const char *devpath;   /* "/devices/pci0000:00/..." */
	const char *subsystem; /* "block", "pci" */
	const char *devname;   /* "vda1" */
	const char *modalias;
};

/*
 * Parse a message of len bytes. 0, or -EINVAL: not a kernel uevent (no NUL at the end, no action
 * or device path). Unknown keys are passed over; where a key is given twice, the first one counts.
 */
int ul_uevent_parse(const char *message, size_t len, struct ul_uevent *ret);

/* A non-blocking netlink socket that the kernel's uevents arrive at. *ret_fd: the caller closes it. */
int ul_uevent_open(int *ret_fd, struct ul_error *err);

/*
 * Take the next message from the socket into buf; what does not come from the kernel is dropped.
 * 1: *ret is one; 0: none is waiting; -ENOBUFS: some were lost, so look at everything again;
 * another -errno.
 */
int ul_uevent_receive(int fd, char buf[UL_UEVENT_MAX], struct ul_uevent *ret);
