/* The machine that an EFI program is for: a boot loader, a unified kernel image. */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "initrd/pack/pe.h"

/*
 * uki: it must have a kernel and an initramfs in it. -UL_E_INPUT: it is not such a program, or its machine has no name
 * here.
 */
int cli_read_efi_machine(const char *path, bool uki, const struct ul_pe_machine **ret, struct ul_error *err);
