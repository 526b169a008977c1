/*
 * Importers: every one adds the paths of one source to a builder. name is for messages. Texts are read as they come,
 * once and forwards (a pipe will do), of any length; at no time is more than one path's record of them in memory.
 *
 * What cannot be read (a cut off text, a damaged database) is a failure. A row that can be read and not be used is put
 * aside (ul_builder_put_aside): it is a failure only where the manifest needs it.
 */
#pragma once

#include <stdio.h>

#include "dbgen/manifest/manifest.h"

/*
 * Registration text, as `nix-store --dump-db`, `closureInfo`'s registration and /nix-path-registration
 * hold it: records of lines: path, NAR hash in hex, NAR size, deriver or empty, number of references,
 * the references. Both forms are known: with the hash (dump-db, closureInfo) and without.
 */
int ul_import_registration(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err);

/* `nix path-info --json`: the array (2.0-2.18), the object by path (2.19-), the object by base name (2.32-). */
int ul_import_path_info(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err);

/*
 * A Nix db.sqlite, opened read-only, whatever state its WAL is in; DerivationOutputs, and realisations of both
 * forms (tables Realisations and BuildTraceV3), too. -UL_E_SYSTEM: the file is not there, or may not be read.
 */
int ul_import_database(struct ul_builder *b, const char *path, struct ul_error *err);
