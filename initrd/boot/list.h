/* The list of the boot's stages. */
#pragma once

#include "initrd/boot/run.h"

/* In order; the last row has no name. */
extern const struct ul_stage ul_stages[];
