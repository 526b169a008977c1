/*
 * Progress of long work. A library function reports how far it is; what is shown, and whether, is
 * the caller's matter. All members may be ignored: a NULL pointer means nobody looks.
 */
#pragma once

#include <stdint.h>

struct ul_progress {
	/*
	 * Called now and then, from one thread at a time. done and total in bytes (total 0: not
	 * known yet); `what` is a few words ("hashing", "writing the filesystem"), valid for the
	 * call only.
	 */
	void (*report)(struct ul_progress *self, const char *what, uint64_t done, uint64_t total);
};

static inline void ul_progress_report(struct ul_progress *p, const char *what, uint64_t done, uint64_t total)
{
	if (p && p->report)
		p->report(p, what, done, total);
}
