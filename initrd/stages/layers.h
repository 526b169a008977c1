/*
 * What stands between a sealed store and whatever lies beneath it: its names layer (dbgen/layers/names.h), of the image
 * where it has one, else made now in a tmpfs from the sealed directory's own listing.
 */
#pragma once

#include "initrd/base/boot.h"

/* Paths in the new root. */
struct ul_lower_guard {
	char names[96]; /* empty: nothing lies beneath that could be merged */
	char links[96]; /* a layer with an empty `.links`, where the sealed store has none; empty: it has */
};

struct ul_layers {
	struct ul_lower_guard of[UL_BOOT_LOWERS]; /* of b->lowers, by number */
};

/*
 * An upper in memory has nothing beneath the sealed layers, so it gets no names. -UL_E_OVERLAY (no memory for
 * the names, say), -UL_E_CORRUPT, -UL_E_FILESYSTEM.
 */
int ul_layers_prepare(struct ul_boot *b, struct ul_layers *ret, struct ul_error *err);
