/* How a command begins and ends: standard streams, failures, JSON, signals. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/leftover.h"

/* ---- signals ---- */

static volatile sig_atomic_t caught; /* the signal's number */

static void on_signal(int number)
{
	caught = number;
}

/*
 * What the command is about to rename or to unmount goes; then the signal does what it does to any program. A second
 * one, which timeout(1) sends at once and a shell's user at any time, may reach another thread: it ends nothing while
 * the first one tidies up.
 */
static void on_signal_at_once(int number)
{
	static atomic_flag ending = ATOMIC_FLAG_INIT;

	if (atomic_flag_test_and_set(&ending))
		return;
	ul_leftovers_remove();
	signal(number, SIG_DFL);
	raise(number);
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < UL_ARRAY_SIZE(numbers); i++) {
		struct sigaction old;

		/* What nohup(1) or a shell's & ignores stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

void cli_catch_signals(void)
{
	/* The second one ends the program. */
	handle(on_signal, (int)SA_RESETHAND);
}

bool cli_interrupted(void)
{
	return caught != 0;
}

/* ---- output ---- */

void cli_start(void)
{
	/* Read-only: what is written to a standard output that was closed fails, and cli_end tells. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", O_RDONLY);
	handle(on_signal_at_once, 0);
}

/* Why output was lost. The errno of a failure in the middle is gone: one more try to write tells it. */
static const char *why_lost(int errnum)
{
	if (errnum == 0) {
		clearerr(stdout);
		errno = 0;
		(void)(putchar('\n') < 0 || fflush(stdout) < 0);
		errnum = errno;
	}
	if (errnum == EBADF)
		return "it is closed";
	return errnum ? strerror(errnum) : "not all of it could be written";
}

int cli_end(int status)
{
	bool lost;

	errno = 0;
	lost = fflush(stdout) != 0 || ferror(stdout);
	if (caught) {
		signal(caught, SIG_DFL);
		raise(caught);
	}
	if (!lost)
		return status;
	fprintf(stderr, "underlay: writing to standard output: %s\n", why_lost(errno));
	return 3;
}

int cli_fail(const struct ul_error *err)
{
	char sentence[1200];

	cli_progress_done();
	fprintf(stderr, "underlay: %s\n", ul_error_sentence(err, sentence, sizeof(sentence)));
	return ul_code_exit_status(err->code);
}

int cli_print_json(struct json_object *document)
{
	const char *text = document ? ul_json_text(document) : NULL;
	struct ul_error err;

	cli_progress_done();
	if (!text) {
		ul_error_nomem(&err, "writing JSON");
		return cli_fail(&err);
	}
	puts(text);
	return 0;
}
