/* How a command begins and ends: standard streams, failures, JSON, signals. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"

/* ---- signals ---- */

static volatile sig_atomic_t caught; /* the signal's number */

static void on_signal(int number)
{
	caught = number;
}

void cli_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < UL_ARRAY_SIZE(numbers); i++) {
		struct sigaction old;

		/* What nohup(1) or a shell's & ignores stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
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
	if (errno == EBADF)
		fputs("underlay: writing to standard output: it is closed\n", stderr);
	else
		fprintf(stderr, "underlay: writing to standard output: %s\n",
			errno ? strerror(errno) : "not all of it could be written");
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
