/* What the kernel says while it does something: its errno is one word, its log a sentence. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "initrd/base/boot.h"

/* The log from here on; -1: it cannot be read, which everything here takes. To be closed. */
int ul_kernel_log_open(const struct ul_boot *b);

/*
 * The first complaint (a warning or worse) since then that names this block device as filesystems do, "(vda2)" or
 * "(device vda2)". No program can have written it. false: there is none.
 */
bool ul_kernel_log_complaint(const struct ul_boot *b, int log_fd, const char *device, char *buf, size_t size);

/* Whether a record of /dev/kmsg is such a complaint about the device of this kernel's name; then buf has its text. */
bool ul_kernel_log_take(const char *record, const char *name, char *buf, size_t size);
