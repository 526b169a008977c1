/* The superblock before a hash tree, as cryptsetup's lib/verity/verity.c writes it. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "verity/format/descriptor.h"

/*
 * Write it at byte offset of fd, from what d says of hash, blocks and salt; uuid: 16 bytes. What lies between it and
 * the tree, which begins d->hash_start behind it, becomes zero, whatever was on the disk. Errors: -UL_E_INPUT
 * (hash_start is less than a superblock or more than 1 MiB), -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_superblock_write(int fd, uint64_t offset, const uint8_t uuid[16], const struct ul_descriptor *d,
			struct ul_error *err);
