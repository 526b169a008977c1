/* What a record says of an image, for people. */
#pragma once

#include <stddef.h>

#include "verity/trial/record.h"

/* Words for programs: "trying", "unknown". */
extern const char *const ul_trial_state_words[];
extern const char *const ul_trial_reason_words[];

#define UL_TRIAL_SENTENCE 160 /* bytes that are enough */

/*
 * "new", "good", "on trial, 2 tries left", "bad: its tries are used up; the last start ended by the watchdog". t NULL:
 * new. runs: it is the one that was started, so that its last try is not over. Returns buf.
 */
const char *ul_trial_sentence(const struct ul_trial *t, bool runs, char buf[UL_TRIAL_SENTENCE]);
