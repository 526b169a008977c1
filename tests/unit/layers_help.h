/* What the tests of the layers share: a directory of their own, the current one, with store/, names/ and up/ in it. */
#pragma once

#include "common/error.h"

/* cmocka's. What the tests do needs root. */
int layers_setup(void **state);
int layers_teardown(void **state);

/* A shell command succeeds; what one prints, to the byte. */
void layers_run(const char *command);
void layers_print(const char *command, const char *wanted);

/* A directory, opened. Asserts. */
int layers_dir(const char *name);

/* The error's one printed form. */
void layers_sentence(const struct ul_error *err, const char *wanted);

/*
 * So many directories of that name below each other, each with a file `f`, below one that is made where it is not
 * there.
 */
void layers_deep(const char *where, int depth, const char *name);
