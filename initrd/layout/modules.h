/*
 * How kernel modules lie in the initramfs: written by `underlay initrd build` (initrd/pack/modules.c),
 * read by underlay-init (initrd/stages/modules.c). The NixOS module lays its initrd the same way.
 *
 *     /lib/modules/VERSION/kernel/...              the modules, uncompressed, in the tree's own paths
 *     /lib/modules/VERSION/modules.dep.bin         libkmod's indexes, holding the packed modules only:
 *     /lib/modules/VERSION/modules.alias.bin       so kmod_load_resources works and a modalias of
 *     /lib/modules/VERSION/modules.symbols.bin     hardware whose driver is not packed finds nothing
 *     /lib/modules/VERSION/modules.builtin.bin     the kernel's built-in modules
 *     /lib/modules/VERSION/modules.softdep         "softdep NAME pre: ..." as depmod writes it
 *     /etc/underlay/modules                        UL_PATH_MODULES_LOAD
 *
 * VERSION is `uname -r` of the kernel that the initramfs is for. Where no module is packed (all of
 * them are built in) the directory may be missing: that is not a failure as long as nothing is to load.
 *
 * There are three ways to be loaded:
 *
 *   always     listed in /etc/underlay/modules: text, one name a line, in the order of loading; empty
 *              lines and lines that start with '#' are skipped. A listed module that cannot be found
 *              or loaded is a failure (UL_E_MODULE). What is built in is not listed; should one be
 *              listed all the same, libkmod says so and nothing is to do.
 *   by alias   drivers of hardware: found by the modaliases that the devices in /sys show. One that
 *              cannot be loaded is a line in the log, not a failure.
 *   by name    loaded by the stage that finds out that it needs it, just before it does: the lower's
 *              or upper's filesystem by the type that libblkid found ("erofs", "squashfs", "ext4"),
 *              "dm_crypt" before a LUKS2 upper. The kernel would ask /sbin/modprobe for these, which
 *              this initramfs does not have. Not found: try the mount anyway, it may be built in.
 *
 * Dependencies and soft dependencies are packed too; libkmod loads them by the indexes.
 */
#pragma once

#include "common/paths.h"

/* The directory above VERSION: /lib may be a symbolic link to usr/lib, as on every merged system. */
#define UL_MODULES_DIR "/lib/modules"

/* Largest /etc/underlay/modules that is read, in bytes. */
#define UL_MODULES_LIST_MAX 65536
