/* Exporters: the manifest back into Nix's own texts. They stream; out is flushed, not closed. */
#pragma once

#include <stdio.h>

#include "dbgen/manifest/manifest.h"

/* What `nix-store --load-db` reads and `--dump-db` writes. */
int ul_export_registration(struct ul_manifest *m, FILE *out, struct ul_error *err);

/* What `nix path-info --json` of Nix 2.19 to 2.31 prints (object by path); loses nothing Nix prints. */
int ul_export_path_info(struct ul_manifest *m, FILE *out, struct ul_error *err);

/* The same of some paths, by number; and for people to read. */
int ul_export_path_info_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err);
int ul_export_records_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err);
