/*
 * Stage handover. Before: the new root is complete, and what is started in it is chosen. After: what systemd and other
 * programs look for of an initramfs stands where they look, whichever program is PID 1 of it:
 *
 *   /run/underlay/system                 symlink to the store path that is started
 *   /run/underlay/system.env             the same and its init, as systemd's EnvironmentFile= reads it
 *   /run/initramfs/shutdown              underlay-shutdown, into which systemd returns at the end (initrd interface)
 *   /run/systemd/system/nix-….mount      systemd finds our mounts in the kernel's list and would unmount them, in use
 *                                        as they are, with all others; these units leave them to that program
 *   /run/systemd/system/underlay.service inside another initramfs: the unit that ran us, so that the system's manager
 *                                        knows it, and systemd-analyze tells its time
 *   /etc/machine-id                      on a root that is ours: the upper's own, which outlives images; an empty file
 *                                        where the upper is volatile. Without it every boot would be a first boot.
 *   /etc/os-release                      on a root that is ours, inside another initramfs: systemd does not go to a
 *                                        root without it
 *
 * None of it is needed to start the system, so a failure is told and the boot goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"
#include "initrd/upper/upper.h"

#define MACHINE_ID     "machine-id" /* on the upper's filesystem */
#define MACHINE_ID_LEN 32           /* hex digits; a newline follows */
#define PROGRAM_MAX    (16 * 1024 * 1024)

static void warn(const char *object, int error)
{
	ul_log(UL_LOG_WARNING, "handover: %s: %s", object, strerror(-error));
}

/* A file below the directory that becomes the system's /run; its directories are made. */
static void write_run(const struct ul_boot *b, const char *name, mode_t mode, const void *data, size_t len)
{
	char path[PATH_MAX];
	char *slash;
	int r;

	snprintf(path, sizeof(path), "%s/%s", b->handover_dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	r = ul_mkdir_parents(AT_FDCWD, path, 0755);
	*slash = '/';
	if (r == 0)
		r = ul_write_file(AT_FDCWD, path, mode, data, len);
	if (r < 0)
		warn(path, r);
}

static void link_system(const struct ul_boot *b)
{
	ul_autofree char *path = ul_path_join(b->run_dir, "system");
	int r = path ? ul_mkdir_parents(AT_FDCWD, b->run_dir, 0755) : -ENOMEM;

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && symlink(ul_boot_system(b), path) < 0)
		r = -errno;
	if (r < 0)
		warn("/run/underlay/system", r);
}

/* UNDERLAY_SYSTEM and UNDERLAY_INIT: store paths have no character that would want quoting. */
static void write_environment(const struct ul_boot *b)
{
	const char *system = ul_boot_system(b);
	const char *init = b->policy.init;
	ul_autofree char *path = ul_path_join(b->run_dir, "system.env");
	ul_autobuffer struct ul_buffer text = {0};
	int r = path ? ul_buffer_printf(&text, "UNDERLAY_SYSTEM=%s\nUNDERLAY_INIT=%s/%s\n", system, system, init)
		     : -ENOMEM;

	if (r == 0)
		r = ul_write_file(AT_FDCWD, path, 0644, text.data, text.len);
	if (r < 0)
		warn("/run/underlay/system.env", r);
}

/* underlay-shutdown lies beside this program. */
static void leave_shutdown(const struct ul_boot *b)
{
	static const char *const dirs[] = {"proc", "sys", "dev", "run", "oldroot"};
	static const char name[] = "underlay-shutdown";
	ul_autobuffer struct ul_buffer program = {0};
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name));
	int r;

	if (n <= 0)
		return;
	path[n] = '\0';
	memcpy(strrchr(path, '/') + 1, name, sizeof(name));
	r = ul_read_file(AT_FDCWD, path, PROGRAM_MAX, &program);
	/* An initramfs that somebody made without it: the system unmounts what it can. */
	if (r == -ENOENT)
		return;
	if (r < 0) {
		warn(path, r);
		return;
	}
	write_run(b, "initramfs/shutdown", 0755, program.data, program.len);
	for (size_t i = 0; i < UL_ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/initramfs/%s", b->handover_dir, dirs[i]);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			warn(path, -errno);
	}
}

/*
 * Whole units, for drop-ins are not enough: where another unit wants a path below a mount (RequiresMountsFor=, as
 * nix-daemon.socket has it), systemd looks for the mount's unit before it has read the kernel's list, and of a unit
 * without a file it reads no drop-in, then or later (systemd: mount_setup_existing_unit). What= is nothing
 * that could be mounted: a mount that somebody took away is not replaced by an empty one. Where an initramfs' systemd
 * starts an init that is not systemd, it puts /run/systemd aside first, and the system's unmounts
 * these five with all others: in their order, which works where nothing uses /nix/var so late.
 */
static void leave_mounts(const struct ul_boot *b)
{
	static const struct {
		const char *unit, *where;
	} mounts[] = {
		{"nix-.ro", UL_PATH_LOWER},
		{"nix-.rw", UL_PATH_UPPER},
		{"nix-store", UL_PATH_STORE},
		{"nix-var", UL_PATH_VAR},
		{"nix-var-nix-gcroots-underlay", UL_PATH_GCROOTS},
	};
	char name[PATH_MAX];
	char text[512];

	for (size_t i = 0; i < UL_ARRAY_SIZE(mounts); i++) {
		snprintf(name, sizeof(name), "systemd/system/%s.mount", mounts[i].unit);
		snprintf(text, sizeof(text),
			 "# Written by underlay-init, which mounted it: underlay-shutdown unmounts it.\n"
			 "[Unit]\n"
			 "Description=Sealed Nix Store (%s)\n"
			 "Documentation=man:underlay-init(8)\n"
			 "DefaultDependencies=no\n"
			 "[Mount]\n"
			 "What=mounted-by-underlay-init\n"
			 "Where=%s\n",
			 mounts[i].where, mounts[i].where);
		write_run(b, name, 0644, text, strlen(text));
	}
}

static void leave_units(const struct ul_boot *b)
{
	static const char unit[] = "# Written by underlay-init: it ran in the initramfs as this unit.\n"
				   "[Unit]\n"
				   "Description=Sealed Nix Store\n"
				   "Documentation=man:underlay-init(8)\n"
				   "DefaultDependencies=no\n"
				   "RefuseManualStart=yes\n"
				   "IgnoreOnIsolate=yes\n"
				   "[Service]\n"
				   "Type=oneshot\n"
				   "RemainAfterExit=yes\n"
				   "ExecStart=/run/underlay/started-in-the-initramfs\n";

	leave_mounts(b);
	if (!b->pid1)
		write_run(b, "systemd/system/underlay.service", 0644, unit, strlen(unit));
}

/* 32 lower-case hex digits, not all zero, and a newline, as machine-id(5) has it. */
static bool is_machine_id(const struct ul_buffer *text)
{
	const char *id = (const char *)text->data;
	uint8_t raw[MACHINE_ID_LEN / 2];

	return text->len == MACHINE_ID_LEN + 1 && id[MACHINE_ID_LEN] == '\n' &&
	       strspn(id, "0123456789abcdef") == MACHINE_ID_LEN &&
	       ul_hex_decode(id, MACHINE_ID_LEN, raw, sizeof(raw)) && !ul_all_zero(raw, sizeof(raw));
}

/*
 * An id is not a secret, it must only differ from every other machine's. So what the kernel has this early is good
 * enough, and nobody waits: /dev/urandom gives what serial numbers, clocks and interrupts have made of its pool so
 * far, also before the kernel calls that ready.
 */
static int random_bytes(const struct ul_boot *b, void *ret, size_t len)
{
	ul_autofree char *path = NULL;
	ul_autoclose int fd = -1;
	ssize_t n;

	if (getrandom(ret, len, GRND_NONBLOCK) == (ssize_t)len)
		return 0;
	path = ul_path_join(b->dev_dir, "urandom");
	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	n = fd < 0 ? -1 : read(fd, ret, len);
	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

/* What is in the way of the file or of its temporary name goes aside, once. */
static int write_machine_id(int upper_fd, const struct ul_buffer *id)
{
	static const char *const names[] = {MACHINE_ID, MACHINE_ID ".tmp"};
	int r = ul_write_file_atomic(upper_fd, MACHINE_ID, 0444, id->data, id->len);

	if (r >= 0 || ul_upper_is_medium(-r))
		return r;
	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++) {
		int moved = ul_upper_move_aside(upper_fd, names[i]);

		if (moved < 0 && moved != -ENOENT)
			return moved;
	}
	return ul_write_file_atomic(upper_fd, MACHINE_ID, 0444, id->data, id->len);
}

static int make_machine_id(const struct ul_boot *b, struct ul_buffer *ret)
{
	uint8_t raw[MACHINE_ID_LEN / 2];
	char hex[MACHINE_ID_LEN + 2];
	int r = random_bytes(b, raw, sizeof(raw));

	if (r < 0)
		return r;
	/* A version 4 UUID, variant DCE, as systemd makes them. */
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	ul_hex_encode(raw, sizeof(raw), hex);
	hex[MACHINE_ID_LEN] = '\n';
	ret->len = 0;
	if (ul_buffer_append(ret, hex, MACHINE_ID_LEN + 1) < 0)
		return -ENOMEM;
	return write_machine_id(b->upper.fd, ret);
}

/* The upper's, made at its first boot. Whoever writes the disk can choose it, as on any machine. */
static int upper_machine_id(const struct ul_boot *b, struct ul_buffer *ret)
{
	int upper_fd = b->upper.fd;
	struct stat st;

	if (fstatat(upper_fd, MACHINE_ID, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    ul_read_file(upper_fd, MACHINE_ID, MACHINE_ID_LEN + 1, ret) == 0 && is_machine_id(ret))
		return 0;
	return make_machine_id(b, ret);
}

static void leave_machine_id(const struct ul_boot *b)
{
	ul_autobuffer struct ul_buffer id = {0};
	char path[PATH_MAX];
	struct stat st;
	int r = 0;

	ul_boot_path(b, "/etc/machine-id", path);
	if (!b->root_is_ours || lstat(path, &st) == 0)
		return;
	if (b->upper.persistent)
		r = upper_machine_id(b, &id);
	if (r < 0) {
		warn("the upper's " MACHINE_ID, r);
		id.len = 0;
	}
	r = ul_write_file(AT_FDCWD, path, 0444, id.data, id.len);
	if (r < 0)
		warn(path, r);
}

/* The system's own, seen where it will be; a system without one gets a name. */
static void leave_os_release(const struct ul_boot *b)
{
	static const char none[] = "ID=underlay\nNAME=\"A sealed Nix store\"\n";
	char path[PATH_MAX], target[PATH_MAX], seen[PATH_MAX];
	struct stat st;
	int r = 0;

	ul_boot_path(b, "/etc/os-release", path);
	if (b->pid1 || !b->root_is_ours || lstat(path, &st) == 0)
		return;
	snprintf(target, sizeof(target), "%s/etc/os-release", ul_boot_system(b));
	/* Whether it is there, not what it leads to: its links are the new root's. */
	if (lstat(ul_boot_path(b, target, seen), &st) == 0)
		r = symlink(target, path) < 0 ? -errno : 0;
	else
		r = ul_write_file(AT_FDCWD, path, 0444, none, strlen(none));
	if (r < 0)
		warn(path, r);
}

int ul_stage_handover(struct ul_boot *b, struct ul_error *err)
{
	(void)err;
	link_system(b);
	write_environment(b);
	leave_shutdown(b);
	leave_units(b);
	leave_machine_id(b);
	leave_os_release(b);
	return 0;
}
