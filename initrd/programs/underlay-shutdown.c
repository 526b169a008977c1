/*
 * underlay-shutdown: the end of a run. systemd-shutdown finds it as /run/initramfs/shutdown, makes /run/initramfs the
 * root and executes it as PID 1 (systemd's initrd interface); the system's root is then /oldroot and nothing runs from
 * it any more, so that everything below can be unmounted: the overlay, the upper, the lower, and what carried them.
 * Without it the upper's filesystem would be busy to the last moment, and its journal be replayed at the next boot.
 *
 * It lies in memory from the boot on, so it is small, static, and needs nothing but the kernel.
 *
 * Before: PID 1, argv[1] is poweroff, reboot, halt or kexec. After: the machine does that. Whatever cannot be unmounted
 * is named on the console, and costs a few seconds, never the shutdown.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/mountinfo.h"

#define OLD_ROOT  "/oldroot"
#define MOUNTINFO (4 * 1024 * 1024) /* bytes that are read of it */
#define MOUNTS    4096
#define ROUNDS    20 /* of a tenth of a second: what was killed a moment ago may still hold a file */

/* To the kernel's log, which puts it on the console; level as in syslog(3). */
static void say(int level, const char *what, const char *object, const char *why)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "<%d>underlay: shutdown: %s%s%s%s%s\n", 3 << 3 | level, what,
			 *object ? ": " : "", object, *why ? ": " : "", why);
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	(void)!write(kmsg >= 0 ? kmsg : STDERR_FILENO, line, (size_t)n);
	if (kmsg >= 0)
		close(kmsg);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && (path[len] == '\0' || path[len] == '/');
}

/* The mount points of the old root, in the order of their mounting; they point into text. */
static size_t list_mounts(struct ul_buffer *text, char **mounts)
{
	size_t n = 0;
	char *rest, *line;

	if (ul_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO, text) < 0 || !ul_buffer_string(text))
		return 0;
	rest = (char *)text->data;
	/* "36 35 98:0 /root /mount/point options ..." */
	while (n < MOUNTS && (line = strsep(&rest, "\n")) && *line) {
		for (int field = 0; field < 4 && line; field++)
			(void)strsep(&line, " ");
		if (!line)
			continue;
		line[strcspn(line, " ")] = '\0';
		ul_mountinfo_unescape(line);
		if (is_below(line, OLD_ROOT))
			mounts[n++] = line;
	}
	return n;
}

/* One round, the last mounted first. Returns how many are left; names them where this is the last round. */
static size_t unmount_all(bool last)
{
	ul_autobuffer struct ul_buffer text = {0};
	static char *mounts[MOUNTS];
	size_t n = list_mounts(&text, mounts), left = 0;

	for (size_t i = n; i > 0; i--) {
		if (umount2(mounts[i - 1], UMOUNT_NOFOLLOW) == 0)
			continue;
		left++;
		if (last)
			say(4, "unmounting", mounts[i - 1], strerror(errno));
	}
	return left;
}

/* Take down every mapping that is ours: dm-verity needs no more than its table gone. */
static void remove_mappings(void)
{
	static const char *const names[] = {"underlay", "underlay-1", "underlay-2", "underlay-3"};
	ul_autoclose int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; control >= 0 && i < UL_ARRAY_SIZE(names); i++) {
		struct dm_ioctl request = {.version = {4, 0, 0}, .data_size = sizeof(request)};

		snprintf(request.name, sizeof(request.name), "%s", names[i]);
		if (ioctl(control, DM_DEV_REMOVE, &request) < 0 && errno != ENXIO)
			say(4, "removing the mapping", names[i], strerror(errno));
	}
}

/* Loop devices of an image that is a file on another filesystem go with their last user; this asks for it. */
static void detach_loops(void)
{
	for (int i = 0; i < 16; i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/loop%d", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)ioctl(fd, LOOP_CLR_FD);
		close(fd);
	}
}

static void unmount_old_root(void)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	size_t left = 1;

	for (int round = 1; left > 0 && round <= ROUNDS; round++) {
		left = unmount_all(round == ROUNDS);
		if (left == 0)
			break;
		/* A filesystem in a file is released only when the mapping or loop device over it is. */
		remove_mappings();
		detach_loops();
		(void)nanosleep(&pause, NULL);
	}
	remove_mappings();
	detach_loops();
	if (left == 0)
		say(6, "everything is unmounted", "", "");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int how;
	} verbs[] = {
		{"poweroff", RB_POWER_OFF},
		{"reboot", RB_AUTOBOOT},
		{"halt", RB_HALT_SYSTEM},
		{"kexec", RB_KEXEC},
	};
	int how = RB_POWER_OFF;

	if (getpid() != 1) {
		fputs("underlay-shutdown: systemd starts this as the last process of a shutdown\n", stderr);
		return 2;
	}
	for (size_t i = 0; argc > 1 && i < UL_ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].verb))
			how = verbs[i].how;
	(void)mkdir("/proc", 0555);
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	unmount_old_root();
	sync();
	(void)reboot(how);
	/* No kernel to execute, or no way to switch off. */
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
