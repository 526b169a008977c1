/* bench_manifest: processor time of decoding a manifest on one core, column by column; and of finding. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/store/store_path.h"
#include "tests/bench/measure.h"
#include "tests/unit/random_store.h"

#define ROUNDS 7

static int decode(struct ul_manifest *m, unsigned int columns, double *ret)
{
	double times[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		struct ul_batch_reader *r = ul_batch_reader_new(m);
		double start = measure_seconds(CLOCK_THREAD_CPUTIME_ID);
		struct ul_batch b;
		struct ul_error err = {0};

		for (uint32_t k = 0; r && k < ul_manifest_n_batches(m); k++)
			if (ul_manifest_read_batch(r, k, columns, &b, &err) < 0) {
				fprintf(stderr, "%s: %s\n", err.object, err.why);
				return -1;
			}
		times[round] = measure_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
		ul_batch_reader_free(r);
	}
	qsort(times, ROUNDS, sizeof(times[0]), measure_compare);
	*ret = times[0];
	return 0;
}

/* Names that are not there: what an upper's own paths cost. */
static double find_absent(struct ul_manifest *m, unsigned int n)
{
	char base[UL_HASH_DIGITS + 3];
	uint8_t digest[UL_DIGEST_SIZE];
	uint64_t state = 1;
	uint32_t number;
	double start = measure_seconds(CLOCK_THREAD_CPUTIME_ID);

	memcpy(base + UL_HASH_DIGITS, "-x", 3);
	for (unsigned int i = 0; i < n; i++) {
		for (size_t k = 0; k < sizeof(digest); k++)
			digest[k] = (uint8_t)random_next(&state);
		ul_store_digest_text(digest, base);
		(void)ul_manifest_find(m, base, &number, NULL);
	}
	return (measure_seconds(CLOCK_THREAD_CPUTIME_ID) - start) / n;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned int columns;
	} rows[] = {{"digests", 0},        {"names", UL_COL_NAME}, {"nar", UL_COL_NAR}, {"names+meta", UL_COL_META},
		    {"refs", UL_COL_REFS}, {"all", UL_COL_ALL}};
	struct ul_error err = {0};
	struct ul_manifest *m;
	double start = measure_seconds(CLOCK_THREAD_CPUTIME_ID);

	if (argc != 2 || ul_manifest_open_file(AT_FDCWD, argv[1], &m, &err) < 0) {
		fprintf(stderr, "usage: bench_manifest MANIFEST (%s: %s)\n", err.object, err.why);
		return 2;
	}
	printf("%u paths, %llu references; opened in %.0f us\n", ul_manifest_n_paths(m),
	       (unsigned long long)ul_manifest_n_refs(m), (measure_seconds(CLOCK_THREAD_CPUTIME_ID) - start) * 1e6);
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		double t;

		if (decode(m, rows[i].columns, &t) < 0)
			return 3;
		printf("%-12s %8.2f ms  %6.1f ns a path\n", rows[i].name, t * 1e3, t * 1e9 / ul_manifest_n_paths(m));
	}
	printf("%-12s %8.2f us each\n", "find absent", find_absent(m, 10000) * 1e6);
	ul_manifest_close(m);
	return 0;
}
