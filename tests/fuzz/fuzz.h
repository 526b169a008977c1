/*
 * What every harness has: one input is given to fuzz_one(), and what it makes the code allocate may not exceed
 * what its length justifies. fuzz.c counts, under libFuzzer as well as in a replay (replay.c).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fuzz_memory {
	size_t fixed;    /* bytes that any input may cost, beside what it leaves behind for the next */
	size_t per_byte; /* bytes for each byte of the input */
};

/* Both are the harness's. */
extern const struct fuzz_memory fuzz_memory;
void fuzz_one(const uint8_t *data, size_t size);

/* What libFuzzer calls; the last two are in few harnesses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* Abort with the failed condition's text: assert() that NDEBUG does not take away. */
#define FUZZ_WANT(condition) fuzz_want(condition, #condition, __FILE__, __LINE__)
void fuzz_want(int holds, const char *condition, const char *file, int line);

/*
 * Mutation alone hardly finds an input in which many parts must be right at once: begin anew with a
 * good one now and then, and change that. The harness's custom mutator.
 */
size_t fuzz_mutate_good(const void *good, size_t good_size, uint8_t *data, size_t size, size_t max, unsigned int seed);
