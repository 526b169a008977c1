#include "initrd/base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/error.h"
#include "common/file.h"

static struct {
	int kmsg, console;
	int kernel_level; /* the kernel shows messages whose level is below this one */
	enum ul_log_level level;
} sink = {.kmsg = -1, .console = -1, .kernel_level = 0, .level = UL_LOG_INFO};

/* First number of /proc/sys/kernel/printk; 0 (nothing is shown) where it cannot be read. */
static int kernel_console_level(const char *proc_dir)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(proc_dir, "sys/kernel/printk");
	uint64_t level;

	if (!path || ul_read_file(AT_FDCWD, path, 64, &text) < 0 || !ul_buffer_string(&text))
		return 0;
	text.data[strcspn((const char *)text.data, " \t\n")] = '\0';
	return ul_parse_number((const char *)text.data, &level) && level <= INT_MAX ? (int)level : 0;
}

static int reopen(int old, const char *path)
{
	if (old >= 0)
		close(old);
	return path ? open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;
}

void ul_log_open(const char *kmsg, const char *console, const char *proc_dir)
{
	sink.kmsg = reopen(sink.kmsg, kmsg);
	sink.console = reopen(sink.console, console);
	sink.kernel_level = sink.kmsg >= 0 ? kernel_console_level(proc_dir) : 0;
}

void ul_log_set_level(enum ul_log_level level)
{
	sink.level = level;
}

void ul_log(enum ul_log_level level, const char *format, ...)
{
	char text[1400], escaped[1400], line[1450];
	va_list args;
	int n;

	if (level > sink.level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ul_escape_text(escaped, sizeof(escaped), text);
	/* Facility 3 (daemon), so that nobody takes it for a message of the kernel. */
	n = snprintf(line, sizeof(line), "<%d>underlay: %s\n", 3 << 3 | (int)level, escaped);
	/* The kernel cuts a record at some 1,000 bytes and shortens it by itself. */
	bool shown = sink.kmsg >= 0 && write(sink.kmsg, line, (size_t)n) == n && (int)level < sink.kernel_level;
	if (shown)
		return;
	n = snprintf(line, sizeof(line), "underlay: %s\n", escaped);
	if (sink.console >= 0)
		(void)ul_write_full(sink.console, line, (size_t)n);
	else if (sink.kmsg < 0)
		(void)ul_write_full(STDERR_FILENO, line, (size_t)n);
}

void ul_log_raw(const char *text)
{
	size_t len = strlen(text);

	if (sink.kmsg >= 0)
		(void)!write(sink.kmsg, text, len);
	if (sink.console >= 0)
		(void)!write(sink.console, text, len);
}
