/*
 * underlay-init: PID 1 of Underlay's own initramfs, or `underlay-init --prepare-root DIR` in another one.
 * The work is in the stages (initrd/boot/list.c has them); here are the two ways in and the one way out.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>

#include "common/cleanup.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/boot/failure.h"
#include "initrd/boot/list.h"
#include "initrd/boot/run.h"
#include "initrd/report/damage.h"
#include "initrd/report/last_failure.h"
#include "initrd/report/state.h"

static _Noreturn void run_as_pid1(void)
{
	struct ul_boot b;
	struct ul_error err;

	/* underlay-start has left none; another /init may not. */
	clearenv();
	ul_failure_catch_crashes();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)reboot(RB_DISABLE_CAD);
	ul_boot_init(&b);
	b.pid1 = true;
	(void)ul_boot_run(&b, ul_stages, &err);
	(void)ul_state_write(&b, "failed", &err);
	ul_failure_act(&b);
}

static int prepare_root(const char *root)
{
	struct ul_boot b;
	struct ul_error err;
	int r;

	ul_boot_init(&b);
	b.root = root;
	r = ul_boot_run(&b, ul_stages, &err);
	if (r < 0) {
		ul_failure_report(&b);
	} else {
		ul_damage_ask(&b);
		ul_last_failure_find(&b);
	}
	if (ul_state_write(&b, r < 0 ? "failed" : "prepared", &err) < 0)
		ul_log(UL_LOG_WARNING, "%s: %s: %s.", err.what, err.object, err.why);
	else if (r == 0)
		ul_last_failure_clear(&b);
	r = r < 0 ? ul_code_exit_status(b.failure.code) : 0;
	ul_boot_free(&b);
	return r;
}

static int usage(FILE *out, int status)
{
	fputs("usage: underlay-init --prepare-root DIR\n\n"
	      "As PID 1 of an initramfs it takes no arguments: it opens the sealed store image,\n"
	      "prepares the new root and starts the system in it. With --prepare-root, inside another\n"
	      "initramfs, it leaves the new root ready at DIR.\n",
	      out);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"prepare-root", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	const char *root = NULL;
	int c;

	if (getpid() == 1)
		run_as_pid1();
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'r':
			root = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		case 'v':
			puts("underlay-init " UL_VERSION);
			return 0;
		default:
			return usage(stderr, 2);
		}
	}
	if (!root || root[0] != '/' || optind != argc)
		return usage(stderr, 2);
	return prepare_root(root);
}
