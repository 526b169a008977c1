/* What the kernel's dm-verity can check a root hash's signature with: for messages only, nothing is decided by it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The keyrings that this kernel asks, with the number of entries of each, as text to follow "no key of":
 * ".builtin_trusted_keys (1 entry), .secondary_trusted_keys (absent) or .platform (2 entries)". keys: what
 * /proc/keys holds ("" where it cannot be read: then no numbers are given); release: as uname(2) tells. Before
 * 6.12 .platform, where UEFI's db is, is not asked; the text then says so.
 */
void ul_kernel_keyrings_text(const char *keys, const char *release, char *buf, size_t size);

/* ul_kernel_keyrings_text for the running kernel. */
void ul_kernel_keyrings(char *buf, size_t size);

/* Whether the kernel checks signatures at all: false only where dm-verity is there and was built without. */
bool ul_kernel_checks_signatures(void);
