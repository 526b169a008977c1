/* Texts of /proc/PID/mountinfo (proc(5)). */
#pragma once

/* The kernel writes space, tab, newline and backslash of a path as \ooo; in place. */
void ul_mountinfo_unescape(char *path);
