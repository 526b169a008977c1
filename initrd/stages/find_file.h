/*
 * Images that are files on another filesystem: on an EFI system partition, a data partition, an ISO 9660. That
 * filesystem is not believed in anything: it is mounted read-only, nodev, nosuid, noexec; a file must be a regular one
 * on a path without symlinks; its partitions are then ranges of it, which nobody trusts before their signature.
 */
#pragma once

#include "initrd/base/boot.h"

/*
 * One round of the search. Once the policy's [image] file-device is there, its filesystem is mounted at host/ of
 * b->run_dir (the running system's UL_PATH_HOST: it stays while the image is in use), and b->files has the files that
 * [image] file names. 1: it has them (also from an earlier round); 0: the device is not there yet; negative: what is
 * wrong, and may be right in a later round (another disk). The kernel replays the journal of an ext4 that was not
 * unmounted: nothing else is written.
 */
int ul_find_files(struct ul_boot *b, struct ul_error *err);

/*
 * Have the data and hash partition of a slot that lies in a file become loop devices. -UL_E_DEVICE.
 */
int ul_find_attach(struct ul_boot *b, struct ul_slot *slot, struct ul_error *err);
