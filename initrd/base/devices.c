#include "initrd/base/devices.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/dir.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"

#define REPORT_US 5000000ULL /* between two lines that say what is waited for */
#define RESCAN_MS 1000

/* Disks that hold nothing of ours: memory disks, our own mappings, loop devices without a file. */
static bool worth_a_look(const struct ul_boot *b, const char *name)
{
	static const char *const others[] = {"ram", "zram", "dm-", "fd"};
	ul_autobuffer struct ul_buffer text = {0};
	char path[PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(others); i++)
		if (!strncmp(name, others[i], strlen(others[i])))
			return false;
	snprintf(path, sizeof(path), "%s/block/%s/size", b->sys_dir, name);
	/* sysfs calls every file 4096 bytes long. */
	return ul_read_file(AT_FDCWD, path, 4096, &text) == 0 && text.len > 0 && text.data[0] != '0';
}

int ul_devices_each_disk(const struct ul_boot *b, int (*fn)(void *context, const char *disk), void *context)
{
	ul_autofree char *path = ul_path_join(b->sys_dir, "block");
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = 0, more = 0;

	if (!path || ul_dir_open(AT_FDCWD, path, &dir) < 0)
		return 0;
	for (size_t n = 0; r == 0 && n < UL_DISKS_MAX && (more = ul_dir_next(dir, &entry)) > 0; n++) {
		char disk[PATH_MAX];

		if (!worth_a_look(b, entry->d_name))
			continue;
		snprintf(disk, sizeof(disk), "%s/%s", b->dev_dir, entry->d_name);
		/* sysfs writes "cciss!c0d0" for /dev/cciss/c0d0. */
		for (char *p = disk; *p; p++)
			if (*p == '!')
				*p = '/';
		r = fn(context, disk);
	}
	if (more < 0)
		ul_log(UL_LOG_WARNING, "find: reading %s: %s", path, strerror(-more));
	return r;
}

static void sleep_for_devices(struct ul_boot *b, uint64_t left_us)
{
	struct pollfd event = {.fd = b->uevent_fd, .events = POLLIN};
	char message[UL_UEVENT_MAX];
	struct ul_uevent uevent;
	int ms = left_us / 1000 < RESCAN_MS ? (int)(left_us / 1000) + 1 : RESCAN_MS;

	if (poll(&event, 1, ms) <= 0)
		return;
	while (ul_uevent_receive(b->uevent_fd, message, &uevent) == 1)
		if (uevent.modalias && !strcmp(uevent.action, "add") && b->policy.coldplug)
			ul_modules_load_for_device(b, uevent.modalias);
	ul_modules_reap(b);
}

bool ul_devices_wait(struct ul_boot *b, struct ul_wait *w)
{
	uint64_t now;

	if (!b->slow_drivers)
		ul_modules_start_slow(b);
	now = ul_now_us();
	if (now >= w->deadline_us)
		return false;
	if (now - w->told_us >= REPORT_US) {
		w->told_us = now;
		ul_log(UL_LOG_INFO, "%s: waiting for %s (%.0f s of %.0f s)", w->stage, w->wanted,
		       (double)(now - w->begin_us) / 1e6, (double)(w->deadline_us - w->begin_us) / 1e6);
	}
	sleep_for_devices(b, w->deadline_us - now);
	return true;
}
