/* What manifest create and image build have in common: sources of store paths, closures, what is noted. */
#pragma once

#include "cli/options.h"
#include "common/names.h"
#include "dbgen/exchange/import.h"

typedef int (*cli_text_importer)(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err);

/* Import a text; "-" is standard input. */
int cli_import_text(struct ul_builder *b, cli_text_importer import, const char *file, struct ul_error *err);

/* Keep only the closure of what these lead to (ul_store_path_follow). To be called before the first import. */
int cli_restrict(struct ul_builder *b, const struct cli_texts *roots, struct ul_error *err);

/* Print the builder's notes to standard error. */
void cli_print_notes(const struct ul_builder *b);
