/* Clocks: the one that times are measured by, and the one that tells the date. */
#pragma once

#include <stdint.h>

/* Seconds since 1970: the year 2025. This program is younger, so a clock that says less is wrong. */
#define UL_CLOCK_PLAUSIBLE 1735689600

/* CLOCK_MONOTONIC in microseconds. */
uint64_t ul_now_us(void);
