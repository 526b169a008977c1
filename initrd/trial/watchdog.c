/*
 * The hardware's watchdog, by the kernel's interface (Documentation/watchdog/watchdog-api.rst). Closed without the
 * letter that stops it, it runs on: whoever opens the device next takes it over, and where nobody does, it restarts the
 * machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/layout/watchdogs.h"
#include "initrd/trial/trial.h"

/* Hardware's drivers are loaded late where disks are found without them, and this one cannot wait. */
static int open_device(struct ul_boot *b, const char *path)
{
	static const char *const drivers[] = {UL_WATCHDOG_DRIVERS};
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	for (size_t i = 0; fd < 0 && errno == ENOENT && i < UL_ARRAY_SIZE(drivers); i++) {
		(void)ul_modules_load(b, drivers[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	}
	return fd;
}

void ul_watchdog_arm(struct ul_boot *b)
{
	ul_autofree char *path = NULL;
	ul_autoclose int fd = -1;
	int seconds = (int)((b->policy.watchdog_us + 999999) / 1000000), flags = 0;

	if (seconds == 0)
		return;
	path = ul_path_join(b->dev_dir, "watchdog0");
	fd = path ? open_device(b, path) : -1;
	if (fd < 0) {
		ul_log(UL_LOG_WARNING, "watchdog: %s: %s: a machine that hangs stays so", path ? path : "watchdog0",
		       strerror(path ? errno : ENOMEM));
		return;
	}
	if (ioctl(fd, WDIOC_GETBOOTSTATUS, &flags) == 0 && flags & WDIOF_CARDRESET) {
		b->watchdog_reset = true;
		ul_log(UL_LOG_WARNING, "watchdog: it ended the boot before this one");
	}
	/* The driver says what it made of it; a shorter time than was asked for is better than none. */
	if (ioctl(fd, WDIOC_SETTIMEOUT, &seconds) < 0 && ioctl(fd, WDIOC_GETTIMEOUT, &seconds) < 0)
		seconds = 0;
	if (ioctl(fd, WDIOC_KEEPALIVE, 0) < 0)
		ul_log(UL_LOG_WARNING, "watchdog: %s: %s", path, strerror(errno));
	b->watchdog_s = (unsigned int)seconds;
	ul_log(UL_LOG_INFO, "watchdog: the machine restarts where nobody takes it over in %d s", seconds);
}
