#include "common/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define OUTPUT_MAX (1 << 20)

static _Noreturn void exec_child(const char *const argv[], int out, int errors, int failed)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(errors, STDERR_FILENO) >= 0 && setenv("LC_ALL", "C", 1) == 0)
		execvp(argv[0], (char *const *)argv);
	/* The pipe closes by itself when exec succeeds; else it carries the errno. */
	int error = errno;

	(void)!write(failed, &error, sizeof(error));
	_exit(127);
}

/* Read both pipes to their ends, keeping a bounded part of each. */
static void drain(int out, int errors, struct ul_buffer *output, struct ul_buffer *messages)
{
	struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = errors, .events = POLLIN}};
	struct ul_buffer *sinks[2] = {output, messages};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			char buf[4096];
			ssize_t n;

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			n = read(fds[i].fd, buf, sizeof(buf));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				fds[i].fd = -1;
			else if (sinks[i] && sinks[i]->len < OUTPUT_MAX)
				(void)ul_buffer_append(sinks[i], buf, (size_t)n);
		}
	}
}

static const char *last_line(struct ul_buffer *messages)
{
	char *text = ul_buffer_string(messages), *end, *start;

	if (!text)
		return "";
	end = text + strlen(text);
	while (end > text && (end[-1] == '\n' || end[-1] == ' '))
		*--end = '\0';
	start = strrchr(text, '\n');
	return start ? start + 1 : text;
}

static int explain(const char *const argv[], const char *what, int status, struct ul_buffer *messages,
		   struct ul_error *err)
{
	const char *said = last_line(messages);

	if (WIFSIGNALED(status))
		return ul_error_set(err, UL_E_SYSTEM, what, argv[0], NULL, "it was killed by signal %d (%s)",
				    WTERMSIG(status), strsignal(WTERMSIG(status)));
	return ul_error_set(err, UL_E_SYSTEM, what, argv[0], NULL, "it ended with status %d%s%s", WEXITSTATUS(status),
			    *said ? ": " : "", said);
}

int ul_run(const char *const argv[], const char *what, struct ul_buffer *ret_output, int *ret_status,
	   struct ul_error *err)
{
	ul_autobuffer struct ul_buffer messages = {0};
	int out[2], errors[2], failed[2], status, exec_errno = 0;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, argv[0], NULL, errno);
	if (pipe2(errors, O_CLOEXEC) < 0) {
		close(out[0]), close(out[1]);
		return ul_error_errno(err, UL_E_SYSTEM, what, argv[0], NULL, EMFILE);
	}
	if (pipe2(failed, O_CLOEXEC) < 0) {
		close(out[0]), close(out[1]), close(errors[0]), close(errors[1]);
		return ul_error_errno(err, UL_E_SYSTEM, what, argv[0], NULL, EMFILE);
	}
	pid = fork();
	if (pid == 0)
		exec_child(argv, out[1], errors[1], failed[1]);
	close(out[1]), close(errors[1]), close(failed[1]);
	if (pid > 0) {
		drain(out[0], errors[0], ret_output, &messages);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (read(failed[0], &exec_errno, sizeof(exec_errno)) != sizeof(exec_errno))
			exec_errno = 0;
	}
	close(out[0]), close(errors[0]), close(failed[0]);
	if (pid < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, argv[0], NULL, EAGAIN);
	if (exec_errno == ENOENT)
		return ul_error_set(err, UL_E_SYSTEM, what, argv[0], "Install it.", "the program is not installed");
	if (exec_errno)
		return ul_error_errno(err, UL_E_SYSTEM, what, argv[0], NULL, exec_errno);
	if (ret_status && WIFEXITED(status)) {
		*ret_status = WEXITSTATUS(status);
		return 0;
	}
	return status == 0 ? 0 : explain(argv, what, status, &messages, err);
}

bool ul_find_program(const char *name, char *buf)
{
	static const char *const usual[] = {"/sbin", "/usr/sbin", "/bin", "/usr/bin"};
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(buf, PATH_MAX, "%.*s/%s", (int)len, path, name);
		if (*path == '/' && access(buf, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	for (size_t i = 0; i < UL_ARRAY_SIZE(usual); i++) {
		snprintf(buf, PATH_MAX, "%s/%s", usual[i], name);
		if (access(buf, X_OK) == 0)
			return true;
	}
	return false;
}
