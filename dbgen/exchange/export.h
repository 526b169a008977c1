/* Exporters: the manifest back into Nix's own texts. They stream; out is flushed, not closed. */
#pragma once

#include <stdio.h>

#include "dbgen/manifest/manifest.h"

/* Registration text: `nix-store --load-db` reads it, `--dump-db` writes it. */
int ul_export_registration(struct ul_manifest *m, FILE *out, struct ul_error *err);

/* JSON as `nix path-info --json` of Nix 2.19 to 2.31 prints it (object by path), with all that Nix prints. */
int ul_export_path_info(struct ul_manifest *m, FILE *out, struct ul_error *err);

/* JSON of some paths, by number; and text for people to read. */
int ul_export_path_info_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err);
int ul_export_records_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err);
