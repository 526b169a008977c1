/*
 * The stages of a boot, each in a file of its own that begins with its contract: what it finds, what it leaves. What
 * they leave for each other stands in struct ul_boot. A part that has a file of its own has its stage's name
 * in front, as database_mode.c has. Whether an image may be started they ask verity/lower/judge.h, as others do.
 *
 * Each returns 0, -UL_E_..., or, where its file says so, UL_STAGE_BACK.
 */
#pragma once

#include "initrd/base/boot.h"

/* It undid something that an earlier stage did: the boot goes on with that stage, as the list says. */
#define UL_STAGE_BACK 1

int ul_stage_early(struct ul_boot *b, struct ul_error *err);
int ul_stage_policy(struct ul_boot *b, struct ul_error *err);
int ul_stage_modules(struct ul_boot *b, struct ul_error *err);
int ul_stage_root(struct ul_boot *b, struct ul_error *err);
int ul_stage_find(struct ul_boot *b, struct ul_error *err);
int ul_stage_verify(struct ul_boot *b, struct ul_error *err);
int ul_stage_trial(struct ul_boot *b, struct ul_error *err);
int ul_stage_lower(struct ul_boot *b, struct ul_error *err);
int ul_stage_upper(struct ul_boot *b, struct ul_error *err);
int ul_stage_reconcile(struct ul_boot *b, struct ul_error *err);
int ul_stage_database(struct ul_boot *b, struct ul_error *err);
int ul_stage_overlay(struct ul_boot *b, struct ul_error *err);
int ul_stage_system(struct ul_boot *b, struct ul_error *err);
int ul_stage_handover(struct ul_boot *b, struct ul_error *err);
int ul_stage_pivot(struct ul_boot *b, struct ul_error *err);
