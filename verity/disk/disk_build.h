/*
 * A whole disk that boots by itself, as a file: what `image build` and `uki build` make, on an EFI system partition and
 * in the first of several slots, with the upper's partition behind them (verity/disk/disk_layout.h). It needs no
 * privilege; the same arguments and tool versions give the same bytes.
 */
#pragma once

#include <stdbool.h>

#include "common/progress.h"
#include "verity/disk/disk_parts.h"

struct ul_disk_options {
	const char *output;
	struct ul_disk_spec spec;
	bool replace; /* an existing output; else it is -UL_E_EXISTS */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

/* -UL_E_INPUT: the parts do not fit; -UL_E_EXISTS; what reading the image gives; -UL_E_SYSTEM. */
int ul_disk_build(const struct ul_disk_options *options, struct ul_disk_result *ret, struct ul_error *err);
