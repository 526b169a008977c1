#include "initrd/boot/failure.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>

#include "common/cleanup.h"
#include "initrd/base/log.h"
#include "initrd/report/last_failure.h"
#include "initrd/trial/trial.h"

#define CRASH_DELAY_S 10

static const char *const verbs[] = {
	[UL_FAIL_REBOOT] = "rebooting",
	[UL_FAIL_POWEROFF] = "powering off",
	[UL_FAIL_HALT] = "halting",
	[UL_FAIL_SHELL] = "opening a shell",
};

void ul_failure_report(struct ul_boot *b)
{
	const struct ul_error *e = &b->failure;
	const char *stage = b->failed_stage ? b->failed_stage : "boot";
	char sentence[1200], after[64] = "";

	if (!b->failure_logged)
		ul_log(UL_LOG_ERROR, "%s: %s", stage, ul_error_sentence(e, sentence, sizeof(sentence)));
	ul_last_failure_keep(b);
	ul_trial_ended(b, e);
	if (b->pid1)
		snprintf(after, sizeof(after), "; %s in %g s", verbs[b->policy.action],
			 (double)b->policy.delay_us / 1e6);
	ul_log(UL_LOG_ERROR, "failure %d (%s)%s", (int)e->code, ul_code_name(e->code), after);
}

static void sleep_us(uint64_t us)
{
	struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

	while (nanosleep(&left, &left) < 0)
		;
}

/* A root shell on the console; PID 1 stays and reaps whatever it leaves. */
static void run_shell(void)
{
	char *const arguments[] = {(char *)"sh", NULL};
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		(void)ioctl(STDIN_FILENO, TIOCSCTTY, 1);
		execv("/bin/sh", arguments);
		_exit(127);
	}
	for (;;) {
		int status;
		pid_t died = waitpid(-1, &status, 0);

		if (died < 0)
			return;
		if (died != pid)
			continue;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
			ul_log(UL_LOG_ERROR, "failure: the initramfs does not have /bin/sh");
		ul_log(UL_LOG_ERROR, "failure: the shell has ended; rebooting");
		return;
	}
}

_Noreturn void ul_failure_act(struct ul_boot *b)
{
	static const int how[] = {
		[UL_FAIL_REBOOT] = RB_AUTOBOOT,
		[UL_FAIL_POWEROFF] = RB_POWER_OFF,
		[UL_FAIL_HALT] = RB_HALT_SYSTEM,
		[UL_FAIL_SHELL] = RB_AUTOBOOT,
	};

	ul_failure_report(b);
	sleep_us(b->policy.delay_us);
	if (b->policy.action == UL_FAIL_SHELL)
		run_shell();
	sync();
	(void)reboot(how[b->policy.action]);
	/* A machine that cannot reboot stands still, with the message on its console. */
	for (;;)
		pause();
}

/* Nothing here but what may run after any crash. */
static void on_crash(int signal_number)
{
	struct timespec delay = {.tv_sec = CRASH_DELAY_S};

	(void)signal_number;
	ul_log_raw("underlay: boot: underlay-init has crashed: this is a bug in it.\n"
		   "underlay: failure 2 (system); rebooting in 10 s\n");
	(void)nanosleep(&delay, NULL);
	sync();
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

void ul_failure_catch_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
	static char stack[16384];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};

	/* The stack itself may be what overflowed. */
	(void)sigaltstack(&alternate, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < UL_ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
}
