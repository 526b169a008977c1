/* A progress line on the terminal: bytes, rate, time left. Nothing on a pipe. */
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/clock.h"

static bool shown;

static void report(struct ul_progress *self, const char *what, uint64_t done, uint64_t total)
{
	static double started, last;
	static const char *last_what;
	static uint64_t first_done;
	double t = (double)ul_now_us() / 1e6, rate;

	(void)self;
	if (what != last_what || done < first_done) {
		started = t;
		last = 0;
		last_what = what;
		first_done = done;
	}
	if (t - last < 0.1 && done != total)
		return;
	last = t;
	shown = true;
	rate = t > started ? (double)(done - first_done) / (t - started) : 0;
	fprintf(stderr, "\r\033[K%s: %.1f MB", what, (double)done / 1e6);
	if (total > 0)
		fprintf(stderr, " of %.1f MB (%d %%)", (double)total / 1e6, (int)((double)done * 100 / (double)total));
	if (rate > 0)
		fprintf(stderr, ", %.0f MB/s", rate / 1e6);
	if (rate > 0 && total > done)
		fprintf(stderr, ", %.0f s left", (double)(total - done) / rate);
	fflush(stderr);
}

struct ul_progress *cli_progress(void)
{
	static struct ul_progress progress = {report};

	return isatty(STDERR_FILENO) ? &progress : NULL;
}

void cli_progress_done(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
