/* The two settings of Nix that decide what is alive: keep-derivations and keep-outputs. */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct ul_collect_settings {
	bool keep_outputs, keep_derivations;
};

/*
 * Nix's own defaults, then what ROOT/etc/nix/nix.conf says with all that it includes, then the text of NIX_CONFIG
 * (config; NULL: there is none). Of what cannot be a boolean the line is passed over. -UL_E_SYSTEM: a file that is
 * there, or has to be, cannot be read; -UL_E_MEMORY.
 */
int ul_collect_settings_read(const char *root, const char *config, struct ul_collect_settings *ret,
			     struct ul_error *err);
