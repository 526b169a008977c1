/* What another lower seals of the upper's own paths; see supersede.c. */
#pragma once

#include "dbgen/reconcile/agree.h"

/*
 * Quarantine what the kept layer and the sessions have under names that this lower seals. Before the database is made
 * to agree. 0, -UL_E_UPPER, -UL_E_MEMORY, or of the lower -UL_E_MANIFEST, -UL_E_CORRUPT.
 */
int ul_supersede(struct ul_agreement *a);
