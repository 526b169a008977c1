/* What underlay-init gives up before it reads anything that an attacker may have written. */
#pragma once

#include <stdbool.h>

/*
 * From here on the kernel refuses this process to make memory executable that was ever writable, and executable
 * memory writable. It ends with the process's image: neither children nor the system's init inherit it, which is why
 * this is all that PID 1 can give up (capabilities, seccomp filters and no_new_privs would pass to the whole system).
 * false: the kernel is older than 6.7.
 */
bool ul_refuse_new_code(void);
