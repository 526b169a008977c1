#include "verity/trial/sentence.h"

#include <stdio.h>

#include "common/error.h"

const char *const ul_trial_state_words[] = {
	[0] = "new",
	[UL_TRIAL_TRYING] = "trying",
	[UL_TRIAL_GOOD] = "good",
	[UL_TRIAL_BAD] = "bad",
};

const char *const ul_trial_reason_words[] = {
	[UL_TRIAL_UNKNOWN] = "unknown",
	[UL_TRIAL_WATCHDOG] = "watchdog",
	[UL_TRIAL_BOOT_FAILED] = "boot-failed",
	[UL_TRIAL_ROLLED_BACK] = "rolled-back",
};

/* How a start ended that nobody called good. */
static void tell_end(const struct ul_trial *t, char *buf, size_t size)
{
	switch (t->reason) {
	case UL_TRIAL_WATCHDOG:
		snprintf(buf, size, "the last start was ended by the watchdog");
		break;
	case UL_TRIAL_BOOT_FAILED:
		snprintf(buf, size, "the last start failed before the system ran (%s)",
			 ul_code_name((enum ul_code)t->code));
		break;
	case UL_TRIAL_ROLLED_BACK:
		snprintf(buf, size, "taken back by command");
		break;
	case UL_TRIAL_UNKNOWN:
	case UL_TRIAL_REASONS:
		snprintf(buf, size, "the last start ended before anybody called it good");
		break;
	}
}

const char *ul_trial_sentence(const struct ul_trial *t, bool runs, char buf[UL_TRIAL_SENTENCE])
{
	char end[80];

	if (!t) {
		snprintf(buf, UL_TRIAL_SENTENCE, "new");
		return buf;
	}
	tell_end(t, end, sizeof(end));
	if (t->state == UL_TRIAL_GOOD)
		snprintf(buf, UL_TRIAL_SENTENCE, "good");
	else if (t->state == UL_TRIAL_BAD && t->reason == UL_TRIAL_ROLLED_BACK)
		snprintf(buf, UL_TRIAL_SENTENCE, "bad: %s", end);
	else if (t->state == UL_TRIAL_BAD || (t->tries_left == 0 && !runs))
		snprintf(buf, UL_TRIAL_SENTENCE, "bad: its tries are used up; %s", end);
	else if (runs)
		snprintf(buf, UL_TRIAL_SENTENCE, "on trial, %u %s left after this one", t->tries_left,
			 t->tries_left == 1 ? "try" : "tries");
	else
		snprintf(buf, UL_TRIAL_SENTENCE, "on trial, %u %s left; %s", t->tries_left,
			 t->tries_left == 1 ? "try" : "tries", end);
	return buf;
}
