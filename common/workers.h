/*
 * Worker threads for work that splits into independent pieces. The workers take the pieces themselves
 * (an atomic counter, a list under a lock); what each found, the caller joins when all have ended.
 */
#pragma once

/* Threads to use: wanted, or (0) one for each processor that this process may run on. 1 to 256. */
unsigned int ul_workers_count(unsigned int wanted);

/*
 * Run work(context, i) for i from 0 to n - 1, the first on the calling thread, and wait for all. Where the
 * system gives fewer threads, fewer run: work must not need all of them.
 */
void ul_workers_run(unsigned int n, void (*work)(void *context, unsigned int i), void *context);
