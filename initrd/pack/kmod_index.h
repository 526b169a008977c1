/*
 * libkmod's index files (modules.dep.bin and its kin): a radix tree that maps keys to values.
 *
 * All integers are 32 bits, most significant byte first.
 *
 *     0   magic    0xB007F457
 *     4   version  0x00020001
 *     8   root     a node reference
 *
 * A node reference is an offset from the start of the file, with flags in the highest four bits that say
 * which parts the node has, in this order: 0x80000000 a NUL-terminated prefix; 0x20000000 children:
 * the first and the last character (a byte each), then a reference for each character between them,
 * 0 for none; 0x40000000 values: their number, then for each a priority and a NUL-terminated text. A
 * key is the prefixes and child characters on the way from the root. Characters are ASCII.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* One pair; text is borrowed. Several values may have one key: the lower priority comes first. */
struct ul_kmod_pair {
	const char *key;
	const char *value;
	uint32_t priority;
};

/*
 * Append an index to *ret. pairs is sorted in place. Returns 0, -EINVAL (a key has a character above
 * 126 or is longer than 4096), -ENOMEM.
 */
int ul_kmod_index_write(struct ul_kmod_pair *pairs, size_t count, struct ul_buffer *ret);
