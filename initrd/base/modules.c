#include "initrd/base/modules.h"

#include <errno.h>
#include <libkmod.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "initrd/base/log.h"

static void ignore_log(void *data, int priority, const char *file, int line, const char *function, const char *format,
		       va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)function, (void)format, (void)args;
}

int ul_modules_open(struct ul_boot *b, struct ul_error *err)
{
	/* No modprobe.d: options and blacklists are the policy's matter, which has no setting for them yet. */
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
	l->pid = 0; /* no process could be made: it was loaded here */
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
