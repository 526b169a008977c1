/*
 * The kernel's command line, taken apart as the kernel does (lib/cmdline.c, next_arg): words apart by
 * white space, a double quote toggles quoting, the quotes around a whole word or a whole value are
 * dropped, others stay. What follows the word `--` is meant for init and is not looked at here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define UL_CMDLINE_MAX 32768 /* bytes; the kernel's own limit is 2048 or 4096 on most machines */

struct ul_cmdline_arg {
	const char *name;
	const char *value; /* NULL: a word without '=' */
};

struct ul_cmdline {
	struct ul_cmdline_arg *args; /* in order */
	size_t n;
	char *text; /* what the args point into; owned */
};

/* 0, -UL_E_CMDLINE (too long, a NUL byte), -UL_E_MEMORY. */
int ul_cmdline_parse(const char *text, size_t len, struct ul_cmdline *ret, struct ul_error *err);
void ul_cmdline_free(struct ul_cmdline *c);

/*
 * Whether name is the parameter that pattern tells, '-' and '_' being the same letter, as for the
 * kernel. A pattern that ends in '*' stands for all names that begin so.
 */
bool ul_cmdline_is(const char *name, const char *pattern);
