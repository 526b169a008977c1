/* Loading kernel modules: initrd/layout/modules.h has the ways to be loaded. */
#pragma once

#include "initrd/base/boot.h"

/* Open the modules of the running kernel: b->kmod. Done before, or without any module: 0. -UL_E_MEMORY. */
int ul_modules_open(struct ul_boot *b, struct ul_error *err);

/*
 * Load the module, or every one that the device alias asks for, with what it depends on. 1: loaded,
 * or in the kernel already; 0: no module has that name; negative errno: the kernel refused it.
 */
int ul_modules_load(struct ul_boot *b, const char *name_or_alias);

/* Load what a device's alias asks for; slow drivers only once they are wanted. Uevents tell of what they bring. */
void ul_modules_load_for_device(struct ul_boot *b, const char *alias);

/* The disk is not behind a quick driver: begin to load the others. */
void ul_modules_start_slow(struct ul_boot *b);

/* Wait for those of these processes that have ended, and for no other. */
void ul_modules_reap(struct ul_boot *b);
