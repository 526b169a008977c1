/*
 * What a database has that this program knows nothing of, taken along when it is written anew: tables of a Nix that is
 * newer than this program, columns that such a Nix added to the tables that are known, names of migrations; and build
 * traces, which have no other way, as their outputs need not be valid.
 */
#pragma once

#include <stdint.h>

#include "dbgen/database/rows/options.h"
#include "common/error.h"

struct ul_db_carry;

/*
 * Look into options->carry_from, or merge_from, before it is replaced; its log is in it already. *ret: NULL where
 * nothing is to be taken along; what cannot be read is told to options->left_out. 0 or -UL_E_MEMORY.
 */
int ul_db_carry_open(const struct ul_db_options *options, struct ul_db_carry **ret, struct ul_error *err);

/*
 * Write it into the new database `name` of the directory. Ids of paths become the new ones; a row that leads to a path
 * that is not there goes, as Nix's own deletion would have it. Columns are taken along for the paths whose id is
 * above n_lower: what the others say is the lower's. What cannot be taken along is told to options->left_out. Errors:
 * -UL_E_MEMORY, and -UL_E_SYSTEM where the new one cannot be written.
 */
int ul_db_carry_write(struct ul_db_carry *c, int dirfd, const char *name, uint32_t n_lower, struct ul_error *err);

void ul_db_carry_close(struct ul_db_carry *c);
