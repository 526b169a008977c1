/* Which texts a manifest may hold: those that Nix writes. Their greatest lengths are in format.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Printable ASCII: what Nix writes; nothing that would want escaping in messages or JSON. */
static inline bool ul_text_clean(const void *text, size_t len)
{
	const uint8_t *bytes = text;
	uint8_t good = 1;

	for (size_t i = 0; i < len; i++)
		good &= (uint8_t)(bytes[i] >= 0x20 && bytes[i] < 0x7f);
	return good;
}

/* Signatures as Nix joins them: single spaces, none at the ends. */
static inline bool ul_sigs_clean(const char *text, size_t len)
{
	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ' || !ul_text_clean(text, len))
		return false;
	for (size_t i = 1; i < len; i++)
		if (text[i] == ' ' && text[i - 1] == ' ')
			return false;
	return true;
}

/* Whether both have the same signatures, in whatever order: Nix sorts them when it writes them. */
bool ul_sigs_same(const char *a, size_t a_len, const char *b, size_t b_len);

/*
 * Whether this is a deriver that a manifest may hold: a store path of store_dir, or an absolute path outside of it.
 * *ret_base: the base name within deriver; NULL where it lies outside. deriver is terminated.
 */
bool ul_deriver_parse(const char *store_dir, const char *deriver, const char **ret_base);
