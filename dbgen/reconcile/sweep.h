/* The kept layer's garbage; see sweep.c. */
#pragma once

#include "dbgen/reconcile/agree.h"

/*
 * Throw away what the kept layer has and no row names. Only after a database that was whole (a->whole) agrees with the
 * lower: of one that was lost every path would be garbage. 0, -UL_E_UPPER, -UL_E_DATABASE, -UL_E_MEMORY.
 */
int ul_sweep(struct ul_agreement *a);
