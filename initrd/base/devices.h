/*
 * Block devices as they appear, for the stages that look for one: the list of the disks, and the wait for more
 * by uevent.
 */
#pragma once

#include "initrd/base/boot.h"

#define UL_DISKS_MAX 256 /* looked at */

/* A wait that is under way. Times are CLOCK_MONOTONIC. */
struct ul_wait {
	const char *stage;  /* for the log: "find" */
	const char *wanted; /* for the log: "a disk with ..." */
	uint64_t begin_us, deadline_us;
	uint64_t told_us; /* when the log was last told; at first begin_us */
};

/*
 * Call fn with the path of each disk that may hold something of ours: not memory disks, device-mapper's or loop
 * devices without a file. Ends early with what fn returns where that is not 0. No disk driver yet: 0.
 */
int ul_devices_each_disk(const struct ul_boot *b, int (*fn)(void *context, const char *disk), void *context);

/*
 * Sleep until a device appears, or a second passes: names that udev makes, and events that were lost. Drivers that
 * new devices ask for are loaded, at the first call the slow ones too. false: the deadline is over.
 */
bool ul_devices_wait(struct ul_boot *b, struct ul_wait *w);
