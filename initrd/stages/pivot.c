/*
 * Stage pivot. Before: the new root is complete; /dev, /proc, /sys and /run are still the initramfs'. After: they lie
 * in the new root, which is /; the initramfs' files are deleted and their memory is free; the system's init runs in our
 * place. Does not return when it succeeds. PID 1 only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/dir.h"
#include "common/file.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/report/damage.h"
#include "initrd/report/last_failure.h"
#include "initrd/report/state.h"
#include "initrd/stages/stages.h"

static const char starting[] = "starting the system's init";

static const char *const api[] = {"/dev", "/proc", "/sys", "/run"};

/*
 * Delete what lies below the directory, never beyond the filesystem it is on. What cannot be deleted, or
 * not even be read, costs memory, no more: the boot goes on. fd is taken over.
 */
static void empty_directory(int fd, dev_t dev)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;

	if (ul_dir_of(fd, &dir) < 0)
		return;
	while (ul_dir_next_readable(dir, &entry)) {
		struct stat st;
		int child;

		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (S_ISDIR(st.st_mode)) {
			child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (child >= 0)
				empty_directory(child, dev);
		}
		(void)unlinkat(fd, entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
	}
}

/* Only the kernel's own rootfs is emptied: any other / belongs to somebody. */
static void empty_initramfs(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0 || (fs.f_type != RAMFS_MAGIC && fs.f_type != TMPFS_MAGIC)) {
		close(fd);
		return;
	}
	empty_directory(fd, st.st_dev);
}

static int move_mounts(const struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(api); i++)
		if (mount(api[i], ul_boot_path(b, api[i], path), NULL, MS_MOVE, NULL) < 0)
			return ul_error_errno(err, UL_E_PIVOT, "moving a mount to the new root", api[i], NULL, errno);
	return 0;
}

static int switch_root(const struct ul_boot *b, struct ul_error *err)
{
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (old < 0 || chdir(b->root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0) {
		int error = errno;

		if (old >= 0)
			close(old);
		return ul_error_errno(err, UL_E_PIVOT, "making the new root /", b->root, NULL, error);
	}
	empty_initramfs(old);
	return 0;
}

/* What the kernel gives its own init; ignored signals and the log's freedom are ours to give back. */
static void restore_process(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)ul_write_file(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", 0, "ratelimit\n", 10);
}

int ul_stage_pivot(struct ul_boot *b, struct ul_error *err)
{
	const char *name = b->policy.init;
	char *const environment[] = {(char *)"HOME=/", (char *)"TERM=linux", NULL};
	char init[PATH_MAX];
	char *const arguments[] = {init, NULL};
	int r;

	ul_damage_ask(b);
	ul_last_failure_find(b);
	r = move_mounts(b, err);
	if (r == 0)
		r = switch_root(b, err);
	if (r < 0)
		return r;
	snprintf(init, sizeof(init), "%s/%s", ul_boot_system(b), name);
	ul_log(UL_LOG_INFO, "pivot: starting %s after %.0f ms", init, (double)(ul_now_us() - b->start_us) / 1000);
	r = ul_state_write(b, "booted", err);
	if (r < 0)
		return r;
	ul_last_failure_clear(b);
	ul_modules_reap(b);
	restore_process();
	execve(init, arguments, environment);
	if (errno == EIO)
		return ul_error_set(err, UL_E_CORRUPT, starting, init, "Write the image again.",
				    "a block of it or of its interpreter cannot be read");
	return ul_error_errno(err, UL_E_NO_SYSTEM, starting, init,
			      "Its interpreter and libraries must be in the image too.", errno);
}
