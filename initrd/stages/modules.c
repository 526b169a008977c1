/*
 * Stage modules. Before: /sys is there. After: every module that /etc/underlay/modules and the policy list is loaded,
 * in that order; so are the quick drivers of what the devices present ask for by their aliases, and the slow ones are
 * known (initrd/layout/modules.h has the ways to be loaded). b->uevent_fd tells of devices that appear from here on: a
 * bus found by one driver brings devices for the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/layout/modules.h"
#include "initrd/stages/stages.h"
#include "initrd/trial/trial.h"

static const char reading_list[] = "reading the list of modules";
static const char loading[] = "loading a kernel module";

/* Built in without an entry in modules.builtin (none is packed, say): sysfs knows some of these. */
static bool in_kernel(const struct ul_boot *b, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/module/%s", b->sys_dir, name);

	if (n < 0 || n >= (int)sizeof(path))
		return false;
	for (char *p = path + strlen(b->sys_dir) + strlen("/module/"); *p; p++)
		if (*p == '-')
			*p = '_';
	return access(path, F_OK) == 0;
}

static int load_required(struct ul_boot *b, const char *name, const char *from, struct ul_error *err)
{
	int r = ul_modules_load(b, name);

	if (r > 0 || in_kernel(b, name))
		return 0;
	if (r == 0)
		return ul_error_set(err, UL_E_MODULE, loading, name,
				    "Build the initramfs with it, or take it off the list.",
				    "%s wants it, but neither the initramfs nor the kernel has it", from);
	return ul_error_errno(err, UL_E_MODULE, loading, name, "The module must be of this very kernel.", -r);
}

/* One name a line, '#' begins a comment. */
static int load_list(struct ul_boot *b, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->conf_dir, UL_PATH_MODULES_LOAD);
	char *save = NULL;
	int r;

	if (!path)
		return ul_error_nomem(err, reading_list);
	r = ul_read_file(AT_FDCWD, path, UL_MODULES_LIST_MAX, &text);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return ul_error_errno(err, UL_E_CONFIG, reading_list, path, NULL, -r);
	if (!ul_buffer_string(&text))
		return ul_error_nomem(err, reading_list);
	for (char *line = strtok_r((char *)text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name = line + strspn(line, " \t");

		name[strcspn(name, " \t\r#")] = '\0';
		if (!*name)
			continue;
		r = load_required(b, name, UL_PATH_MODULES_LOAD, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * One bus: what its devices ask for. A driver that fails is not a failure: the disk may be another's. 0, or -errno: the
 * bus could not be read.
 */
static int coldplug_bus(struct ul_boot *b, int buses_fd, const char *bus)
{
	ul_autodir DIR *dir = NULL;
	char path[NAME_MAX + 16];
	struct dirent *entry;
	int r;

	snprintf(path, sizeof(path), "%s/devices", bus);
	r = ul_dir_open(buses_fd, path, &dir);
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		char alias[512];
		ssize_t n;

		snprintf(path, sizeof(path), "%s/modalias", entry->d_name);
		ul_autoclose int file = openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);

		n = file < 0 ? 0 : read(file, alias, sizeof(alias) - 1);
		if (n <= 1)
			continue;
		alias[n - (alias[n - 1] == '\n')] = '\0';
		ul_modules_load_for_device(b, alias);
	}
	return r;
}

/* Every device with an alias is on a bus: this is cheaper than a walk through /sys/devices. */
static void coldplug(struct ul_boot *b)
{
	ul_autofree char *path = ul_path_join(b->sys_dir, "bus");
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = path ? ul_dir_open(AT_FDCWD, path, &dir) : -ENOMEM;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		int failed = coldplug_bus(b, dirfd(dir), entry->d_name);

		if (failed < 0 && failed != -ENOENT)
			ul_log(UL_LOG_WARNING, "modules: reading the devices of the bus %s: %s", entry->d_name,
			       strerror(-failed));
	}
	if (r < 0 && r != -ENOENT)
		ul_log(UL_LOG_WARNING, "modules: reading the buses: %s", strerror(-r));
}

int ul_stage_modules(struct ul_boot *b, struct ul_error *err)
{
	int r = 0;

	if (b->uevent_fd < 0)
		r = ul_uevent_open(&b->uevent_fd, err);
	if (r == 0)
		r = ul_modules_open(b, err);
	if (r == 0)
		r = load_list(b, err);
	for (char **name = b->policy.modules; r == 0 && name && *name; name++)
		r = load_required(b, *name, "the policy", err);
	if (r == 0 && b->policy.coldplug)
		coldplug(b);
	if (r == 0)
		ul_watchdog_arm(b);
	return r;
}
