/*
 * What dm-verity does where the disk itself fails to read: restart_on_error and panic_on_error, which kernel 6.12
 * brought. libcryptsetup knows them from 2.8 on, and then only as the same answer as to corruption; so the word is
 * added here to the table that libcryptsetup had made and that was checked, and the table is put in that one's place.
 */
#pragma once

#include "verity/open/open.h"

/*
 * Before: NAME is active and checked. After: its table is the same with the mode's word. A mapping that has the word
 * is left alone, and UL_CORRUPTION_EIO asks for nothing. -UL_E_MODULE: the kernel does not know the word; then, as
 * after -UL_E_VERITY and -UL_E_SYSTEM, the mapping is as it was.
 */
int ul_verity_set_read_error(const char *name, const struct ul_seal *seal, enum ul_corruption_mode mode,
			     struct ul_error *err);

/* The table with one more optional word; NULL: no memory, or it is not a table of dm-verity. */
char *ul_verity_table_add(const char *table, const char *word);
