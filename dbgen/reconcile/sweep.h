/* The kept layer's garbage; see sweep.c. */
#pragma once

#include "dbgen/reconcile/agree.h"

/*
 * Throw away what the kept layer has and neither a row nor the lower names. Only after a database that was whole
 * (a->whole) agrees with the lower: of one that was lost every path would be garbage. a->unswept: not all of it. 0,
 * -UL_E_UPPER: the kept layer cannot be read, -UL_E_MEMORY, or of the lower -UL_E_MANIFEST, -UL_E_DATABASE,
 * -UL_E_CORRUPT.
 */
int ul_sweep(struct ul_agreement *a);
