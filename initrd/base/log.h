/*
 * The boot's log: one line a message, `underlay: ...`, to the kernel's log (where journald and dmesg
 * find it) and to the console. The kernel shows what it logs on its consoles down to its own level; what
 * it would not show, and the policy wants shown, is written to the console here: each line comes once.
 */
#pragma once

enum ul_log_level { /* the kernel's numbers */
		    UL_LOG_ERROR = 3,
		    UL_LOG_WARNING = 4,
		    UL_LOG_INFO = 6,
		    UL_LOG_DEBUG = 7,
};

/*
 * Where lines go: kmsg ("/dev/kmsg") and console ("/dev/console"), opened here; NULL or one that
 * cannot be opened: not there. With neither, lines go to standard error. proc_dir ("/proc") is where
 * the kernel's own console level is read. May be called again.
 */
void ul_log_open(const char *kmsg, const char *console, const char *proc_dir);

/* Lines above this level are dropped. */
void ul_log_set_level(enum ul_log_level level);

/* Control characters and bytes above 0x7e are escaped: names from disks cannot draw on the console. */
void ul_log(enum ul_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For a signal handler: nothing but write(2). text ends with a newline. */
void ul_log_raw(const char *text);
