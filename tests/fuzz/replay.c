/*
 * A harness without libFuzzer, compiled with the sanitizers of the compiler that is there anyway: runs every
 * file of the directories given, each whole and cut off at every length, and prints a line of TAP for each
 * directory. An input that the code does not survive ends the program.
 *
 *     build-asan/tests/fuzz/fuzz_NAME DIRECTORY...
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1 << 20)
#define CUTS_MAX  256 /* of one file: a long one is cut at as many places, evenly */

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static char current[PATH_MAX];

/* A copy of just its length, so that the sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	FUZZ_WANT(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_file(const char *dir, const char *name)
{
	ul_autobuffer struct ul_buffer input = {0};
	size_t step;

	snprintf(current, sizeof(current), "%s/%s", dir, name);
	FUZZ_WANT(ul_read_file(AT_FDCWD, current, INPUT_MAX, &input) == 0);
	step = input.len / CUTS_MAX + 1;
	for (size_t len = 0; len < input.len; len += step)
		run(input.data, len);
	run(input.data, input.len);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The name of what was running, in the sanitizers' last words. */
static void tell_current(void)
{
	fprintf(stderr, "# while running %s\n", current);
}

int main(int argc, char **argv)
{
	atexit(tell_current);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		struct dirent **names;
		int n = scandir(argv[i], &names, is_input, alphasort);

		FUZZ_WANT(n > 0);
		for (int k = 0; k < n; k++) {
			run_file(argv[i], names[k]->d_name);
			free(names[k]);
		}
		free(names);
		printf("ok - %s: %d inputs, whole and cut off\n", argv[i], n);
	}
	return 0;
}
