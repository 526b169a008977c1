/* The one parser of decimal numbers: digits and nothing else, and none that is above 2^64 - 1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read the digits at *at and move it behind them. false: no digit stands there, or the number is above 2^64 - 1; *at
 * and *ret are then as they were. A whole text that must be a number: ul_parse_number (common/config.h).
 */
bool ul_take_number(const char **at, uint64_t *ret);

/* The number that these bytes are, all of them; the text need not end there. false: *ret is as it was. */
bool ul_parse_digits(const char *text, size_t len, uint64_t *ret);

/* The number that a file of /proc or /sys holds, with or without a newline. 0, -EINVAL (not a number) or -errno. */
int ul_read_number_file(int dirfd, const char *path, uint64_t *ret);
