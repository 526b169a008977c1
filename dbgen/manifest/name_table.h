/* All names of a manifest at once, for those who print references: paths by number. */
#pragma once

#include "dbgen/manifest/manifest.h"
#include "dbgen/store/store_path.h"

struct ul_name_table;

/* Some 30 bytes a path. Free with ul_name_table_free. */
int ul_name_table_new(struct ul_manifest *m, struct ul_name_table **ret, struct ul_error *err);
void ul_name_table_free(struct ul_name_table *t);

/* "DIR/HASH-name" of a path; returns out. */
char *ul_name_table_path(const struct ul_name_table *t, uint32_t number, char out[UL_STORE_PATH_SIZE]);
