/* Why the upper's database is written anew, or is no more: one place tells it, in both modes. */
#pragma once

#include "dbgen/reconcile/agree.h"

/*
 * It is to be written anew, or would be in a dry run. What is wrong with the file itself goes before `ordinary`, which
 * is why it would be written anyway, and is a note in the report, so that the console shows it. Once a run: the first
 * that is wrong stands.
 */
int ul_anew_tell(struct ul_agreement *a, const char *ordinary);

/* A look through the database found it damaged where its schema looked well. */
int ul_anew_tell_damaged(struct ul_agreement *a);

/* There is no database: a note, where there was one, or where what lies in the upper had rows once. */
int ul_anew_tell_gone(struct ul_agreement *a);
