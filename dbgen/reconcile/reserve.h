/* Room that is kept for the upper's next database; see reserve.c. */
#pragma once

#include "dbgen/reconcile/upper_dir.h"

/* Give it up. false: there was none. */
bool ul_reserve_release(struct ul_upper_dir *u);

/* Keep room for a database of this many bytes, where the disk has plenty. Not having it is not a failure. */
void ul_reserve_keep(struct ul_upper_dir *u, uint64_t database);
