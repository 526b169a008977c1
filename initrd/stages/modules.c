/*
 * Stage modules. Before: /sys is there. After: every module that /etc/underlay/modules and the policy list is
 * loaded, in that order; so are the quick drivers of what the devices present ask for by their aliases, and the
 * slow ones are known (initrd/layout/modules.h has the ways to be loaded). b->uevent_fd tells of devices that appear from
 * here on: a bus found by one driver brings devices for the next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/layout/modules.h"

static void ignore_log(void *data, int priority, const char *file, int line, const char *function, const char *format,
		       va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)function, (void)format, (void)args;
}

static int open_kmod(struct ul_boot *b, struct ul_error *err)
{
	/* No modprobe.d: options and blacklists are the policy's matter, and there are none yet. */
	const char *no_config = NULL;

	if (b->kmod)
		return 0;
	b->kmod = kmod_new(b->modules_dir, &no_config);
	if (!b->kmod)
		return ul_error_nomem(err, "opening the kernel's modules");
	/* What it says on its way ("could not open modules.builtin") is not this log's style. */
	kmod_set_log_fn(b->kmod, ignore_log, NULL);
	/* Index files that are not there: a kernel with everything built in. */
	(void)kmod_load_resources(b->kmod);
	return 0;
}

/* 1: loaded, or there already; else negative errno. */
static int insert(struct kmod_module *mod)
{
	int r = kmod_module_probe_insert_module(mod, 0, NULL, NULL, NULL, NULL);

	if (r == -EEXIST)
		r = 0;
	ul_log(r < 0 ? UL_LOG_WARNING : UL_LOG_DEBUG, "modules: %s: %s", kmod_module_get_name(mod),
	       r < 0 ? strerror(-r) : "loaded");
	return r < 0 ? r : 1;
}

int ul_modules_load(struct ul_boot *b, const char *name_or_alias)
{
	struct kmod_list *list = NULL, *item;
	int result = 0;

	if (!b->kmod || kmod_module_new_from_lookup(b->kmod, name_or_alias, &list) < 0)
		return 0;
	kmod_list_foreach(item, list)
	{
		struct kmod_module *mod = kmod_module_get_module(item);
		int r = insert(mod);

		result = r < 0 && result <= 0 ? r : 1;
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(list);
	return result;
}

/* Whether somebody has seen to it: a device's alias comes up once for each device. */
static bool was_started(const struct ul_boot *b, const char *name)
{
	for (size_t i = 0; i < b->n_loading; i++)
		if (!strcmp(b->loading[i].name, name))
			return true;
	return false;
}

/*
 * Drivers whose disks are there when their module is loaded. Where one of these brings the image, none of the
 * slow ones needs to be loaded at all: the system's own udev sees to them.
 */
static const char *const quick_drivers[] = {
	"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "xen_blkfront", "hv_storvsc", "nvme", "mmc_block",
};

static bool is_quick(const char *name)
{
	for (size_t i = 0; i < UL_ARRAY_SIZE(quick_drivers); i++)
		if (!strcmp(quick_drivers[i], name))
			return true;
	return false;
}

/*
 * A slow driver's first look at its bus can take a second (links that stay down). Each has a process of
 * its own, which ends by itself, after us if need be.
 */
static void load_slowly(struct ul_boot *b, struct ul_loading *l)
{
	struct kmod_module *mod;

	l->pid = fork();
	if (l->pid > 0)
		return;
	if (kmod_module_new_from_name(b->kmod, l->name, &mod) == 0)
		(void)insert(mod);
	if (l->pid == 0)
		_exit(0);
	l->pid = 0; /* there was no process to be had */
}

static void load_for_device(struct ul_boot *b, struct kmod_module *mod)
{
	struct ul_loading *l = &b->loading[b->n_loading];
	const char *name = kmod_module_get_name(mod);
	int state = kmod_module_get_initstate(mod);

	if (state == KMOD_MODULE_BUILTIN || state == KMOD_MODULE_LIVE)
		return;
	if (b->n_loading == UL_BOOT_LOADING || strlen(name) >= sizeof(l->name) || was_started(b, name))
		return;
	memcpy(l->name, name, strlen(name) + 1);
	l->pid = 0;
	b->n_loading++;
	if (is_quick(name))
		(void)insert(mod);
	else if (b->slow_drivers)
		load_slowly(b, l);
	else
		l->pid = -1;
}

void ul_modules_load_for_device(struct ul_boot *b, const char *alias)
{
	struct kmod_list *list = NULL, *item;

	if (!b->kmod || kmod_module_new_from_lookup(b->kmod, alias, &list) < 0)
		return;
	kmod_list_foreach(item, list)
	{
		struct kmod_module *mod = kmod_module_get_module(item);

		load_for_device(b, mod);
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(list);
}

void ul_modules_start_slow(struct ul_boot *b)
{
	b->slow_drivers = true;
	for (size_t i = 0; i < b->n_loading; i++)
		if (b->loading[i].pid < 0)
			load_slowly(b, &b->loading[i]);
}

void ul_modules_reap(struct ul_boot *b)
{
	for (size_t i = 0; i < b->n_loading; i++)
		if (b->loading[i].pid > 0 && waitpid(b->loading[i].pid, NULL, WNOHANG) != 0)
			b->loading[i].pid = 0;
}

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
		return ul_error_set(err, UL_E_MODULE, "loading a kernel module", name,
				    "Build the initramfs with it, or take it off the list.",
				    "%s wants it, but neither the initramfs nor the kernel has it", from);
	return ul_error_errno(err, UL_E_MODULE, "loading a kernel module", name,
			      "The module must be of this very kernel.", -r);
}

/* One name a line, '#' begins a comment. */
static int load_list(struct ul_boot *b, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->conf_dir, UL_PATH_MODULES_LOAD);
	char *save = NULL;
	int r;

	if (!path)
		return ul_error_nomem(err, "reading the list of modules");
	r = ul_read_file(AT_FDCWD, path, UL_MODULES_LIST_MAX, &text);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return ul_error_errno(err, UL_E_CONFIG, "reading the list of modules", path, NULL, -r);
	if (!ul_buffer_string(&text))
		return ul_error_nomem(err, "reading the list of modules");
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

/* One bus: what its devices ask for. A driver that fails is no failure: the disk may be another's. */
static void coldplug_bus(struct ul_boot *b, int bus_fd)
{
	ul_autoclose int fd = openat(bus_fd, "devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	(void)ul_steal_fd(&fd); /* closedir closes it */
	while ((entry = readdir(dir))) {
		char path[NAME_MAX + 16], alias[512];
		ssize_t n;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/modalias", entry->d_name);
		ul_autoclose int file = openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);

		n = file < 0 ? 0 : read(file, alias, sizeof(alias) - 1);
		if (n <= 1)
			continue;
		alias[n - (alias[n - 1] == '\n')] = '\0';
		ul_modules_load_for_device(b, alias);
	}
	closedir(dir);
}

/* Every device with an alias is on a bus: this is cheaper than a walk through /sys/devices. */
static void coldplug(struct ul_boot *b)
{
	ul_autofree char *path = ul_path_join(b->sys_dir, "bus");
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		ul_autoclose int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			coldplug_bus(b, fd);
	}
	closedir(dir);
}

int ul_stage_modules(struct ul_boot *b, struct ul_error *err)
{
	int r = 0;

	if (b->uevent_fd < 0)
		r = ul_uevent_open(&b->uevent_fd, err);
	if (r == 0)
		r = open_kmod(b, err);
	if (r == 0)
		r = load_list(b, err);
	for (char **name = b->policy.modules; r == 0 && name && *name; name++)
		r = load_required(b, *name, "the policy", err);
	if (r == 0 && b->policy.coldplug)
		coldplug(b);
	return r;
}
