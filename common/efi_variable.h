/*
 * EFI variables, as the kernel's efivarfs shows them (Documentation/filesystems/efivarfs.rst): a file NAME-GUID, which
 * begins with four bytes of attributes and which is immutable, lest `rm -r` breaks firmware.
 *
 * dir: where efivarfs is mounted. Whoever is root, or has the firmware, can write what is read here.
 */
#pragma once

#include <stddef.h>

#include "common/buffer.h"

/* Append its contents, without the attributes. 0; -ENOENT: there is none; -EFBIG: more than max bytes; -errno. */
int ul_efi_variable_read(const char *dir, const char *name, size_t max, struct ul_buffer *ret);

/* Make or replace it: non-volatile, for boot services and for the running system. By the firmware, whole or not. */
int ul_efi_variable_write(const char *dir, const char *name, const void *data, size_t len);

/* 0, also where there is none; -errno. */
int ul_efi_variable_remove(const char *dir, const char *name);
