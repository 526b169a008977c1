/*
 * bench_join DIR [ROUNDS]: what joining a session of 1,000 new paths (a directory with 3 files each) into the kept
 * layer costs, with 0, 1,000 and 10,000 paths kept, beneath 10,000 sealed ones; and a boot that has nothing to join.
 * Beside it the two programs that a script would use, mv and cp -al. DIR: a filesystem that is an upper's; in memory,
 * so that the disk is not what is measured. Prints JSON: medians of milliseconds, and of the join the processor's
 * time, which a busy machine does not change.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/layers/join.h"
#include "tests/bench/measure.h"

#define NEW        1000
#define SEALED     10000
#define MAX_ROUNDS 99
#define UP         "sessions/00000001-0000000000000000/up"

static void make_paths(const char *dir, unsigned int first, unsigned int n, unsigned int files)
{
	char path[256];

	measure_done(ul_mkdir_parents(AT_FDCWD, dir, 0755), dir);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		measure_done(-1, dir);
	for (unsigned int i = first; i < first + n; i++) {
		/* As hashes are: in no order. */
		snprintf(path, sizeof(path), "%s/%08x%024u-some-package-1.2.3", dir, i * 2654435761U, i);
		measure_done(mkdir(path, 0555), path);
		for (unsigned int k = 0; k < files; k++) {
			char file[300];

			snprintf(file, sizeof(file), "%s/file-%u", path, k);
			measure_done(ul_write_file(AT_FDCWD, file, 0444, file, strlen(file)), file);
		}
	}
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static double join_cpu; /* of the last join */

static double join(void)
{
	ul_autoclose int upper = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ul_autoclose int sealed = open("sealed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_join what = {.upper_fd = upper, .sealed = &sealed, .n_sealed = 1};
	struct ul_join_report report;
	struct ul_error err = {0};
	char sentence[1200];
	double start = measure_ms(CLOCK_MONOTONIC), cpu = cpu_ms();

	if (ul_join_sessions(&what, &report, &err) < 0) {
		fprintf(stderr, "bench_join: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
		exit(3);
	}
	join_cpu = cpu_ms() - cpu;
	return measure_ms(CLOCK_MONOTONIC) - start;
}

static double run(const char *command)
{
	double start = measure_ms(CLOCK_MONOTONIC);

	if (system(command) != 0)
		measure_done(-1, command);
	return measure_ms(CLOCK_MONOTONIC) - start;
}

static double by_mv(void)
{
	return run("find " UP " -mindepth 1 -maxdepth 1 -print0 | xargs -0 mv -t kept && sync -f .");
}

static double by_cp(void)
{
	return run("cp -al " UP "/. kept && rm -rf sessions && sync -f .");
}

static double measure(double (*by)(void), unsigned int kept, unsigned int rounds, double *ret_cpu)
{
	double times[MAX_ROUNDS], cpu[MAX_ROUNDS];

	for (unsigned int i = 0; i < rounds; i++) {
		measure_done(system("chmod -R u+w kept sessions trash 2>/dev/null; rm -rf kept sessions trash") < 0 ? -1
														    : 0,
			     "rm");
		make_paths("kept", SEALED, kept, 3);
		make_paths(UP, SEALED + kept, NEW, 3);
		measure_done(system("sync -f ."), "sync");
		times[i] = by();
		cpu[i] = join_cpu;
	}
	if (ret_cpu)
		*ret_cpu = measure_median(cpu, rounds);
	return measure_median(times, rounds);
}

static double measure_nothing(unsigned int rounds)
{
	double times[MAX_ROUNDS];

	for (unsigned int i = 0; i < rounds; i++)
		times[i] = join();
	return measure_median(times, rounds);
}

int main(int argc, char **argv)
{
	static const unsigned int kept[] = {0, 1000, 10000};
	unsigned int rounds = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 5;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS || chdir(argv[1]) < 0) {
		fputs("usage: bench_join DIR [ROUNDS]\n", stderr);
		return 2;
	}
	make_paths("sealed", 0, SEALED, 0);
	putchar('[');
	for (size_t i = 0; i < UL_ARRAY_SIZE(kept); i++) {
		double cpu, join_ms = measure(join, kept[i], rounds, &cpu), nothing_ms = measure_nothing(rounds);

		printf("%s{\"new\": %u, \"kept\": %u, \"join_ms\": %.2f, \"join_cpu_ms\": %.2f, \"nothing_ms\": %.3f, \"mv_ms\": %.2f, \"cp_al_ms\": %.2f}",
		       i ? ",\n " : "", NEW, kept[i], join_ms, cpu, nothing_ms, measure(by_mv, kept[i], rounds, NULL),
		       measure(by_cp, kept[i], rounds, NULL));
	}
	puts("]");
	return 0;
}
