/*
 * The one way that a failed boot takes: the sentence, the code, the policy's action. PID 1 never
 * exits, whatever happens to it.
 */
#pragma once

#include "initrd/base/boot.h"

/*
 * Say what failed: `underlay: STAGE: sentence`, then `underlay: failure 18 (bad-signature); ...`; and keep it for the
 * next boot.
 */
void ul_failure_report(struct ul_boot *b);

/* Report, wait the policy's delay, then reboot, power off, halt, or open a shell. PID 1 only. */
_Noreturn void ul_failure_act(struct ul_boot *b);

/*
 * From here on a crash of PID 1 (a bad memory access, an abort) ends in a line on the console and a
 * reboot, not in a kernel panic that may hang for ever.
 */
void ul_failure_catch_crashes(void);
