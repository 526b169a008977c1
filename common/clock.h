/* The clock that times are measured by. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds. */
uint64_t ul_now_us(void);
