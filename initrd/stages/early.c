/*
 * Stage early. Before: PID 1 on the kernel's rootfs with our initramfs in it, nothing mounted. After: /proc,
 * /sys, /dev and /run are mounted, standard input and output are the console, the log goes to the
 * kernel's log; from what is read later no code can come into this process. PID 1 only: another initramfs has
 * done the mounts.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/base/boot.h"
#include "initrd/base/harden.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"

static const struct {
	const char *type, *dir;
	unsigned long flags;
	const char *data;
	const char *why;
} mounts[] = {
	{"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
	 "the command line; the kernel's console level; device-mapper's device number"},
	{"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, "disks and the devices' aliases"},
	{"devtmpfs", "/dev", MS_NOSUID, "mode=0755", "device nodes, made by the kernel"},
	{"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=20%",
	 "what the running system learns of the boot; goes along to the new root"},
};

/* The kernel opened the console for us only where the initramfs brings a node for it. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		if (fd != i)
			(void)dup2(fd, i);
	if (fd > 2)
		close(fd);
}

int ul_stage_early(struct ul_boot *b, struct ul_error *err)
{
	char object[64];

	(void)umask(0022);
	for (size_t i = 0; i < UL_ARRAY_SIZE(mounts); i++) {
		if (mkdir(mounts[i].dir, 0755) < 0 && errno != EEXIST)
			return ul_error_errno(err, UL_E_SYSTEM, "making a mount point", mounts[i].dir, NULL, errno);
		/* EBUSY: it is there already. */
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, mounts[i].flags, mounts[i].data) == 0 ||
		    errno == EBUSY)
			continue;
		snprintf(object, sizeof(object), "%s on %s", mounts[i].type, mounts[i].dir);
		return ul_error_errno(err, UL_E_SYSTEM, "mounting", object,
				      errno == ENODEV ? "Use a kernel that has this filesystem." : NULL, errno);
	}
	open_console();
	/* By default the kernel drops what one program logs beyond ten lines in five seconds. */
	(void)ul_write_file(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", 0, "on\n", 3);
	ul_log_open("/dev/kmsg", "/dev/console", b->proc_dir);
	b->no_new_code = ul_refuse_new_code();
	return 0;
}
