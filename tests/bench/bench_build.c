/* bench_build: the time of one ul_db_build within a process, as a boot does it. Prints seconds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "dbgen/database/db.h"
#include "tests/bench/measure.h"

int main(int argc, char **argv)
{
	struct ul_db_options options = {0};
	struct ul_error err = {0};
	struct ul_manifest *m = NULL;
	char sentence[1200];
	double start;
	int r;

	if (argc != 4) {
		fputs("usage: bench_build MANIFEST DIRECTORY THREADS\n", stderr);
		return 2;
	}
	options.threads = (unsigned int)strtoul(argv[3], NULL, 10);
	start = measure_seconds(CLOCK_MONOTONIC);
	r = ul_manifest_open_file(AT_FDCWD, argv[1], &m, &err);
	if (r == 0) {
		r = ul_db_build(m, AT_FDCWD, argv[2], &options, &err);
		ul_manifest_close(m);
	}
	if (r < 0) {
		fprintf(stderr, "bench_build: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
		return 3;
	}
	printf("%.6f\n", measure_seconds(CLOCK_MONOTONIC) - start);
	return 0;
}
