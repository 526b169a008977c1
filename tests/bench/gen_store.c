/* gen_store: write the manifest of a generated store (tests/unit/random_store.h). */
#include <getopt.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/file.h"
#include "dbgen/manifest/manifest.h"
#include "tests/unit/random_store.h"

static int usage(void)
{
	fputs("usage: gen_store SEED PATHS -o MANIFEST [--signed PERCENT] [--derivations PERCENT]\n"
	      "                 [--graph builder] [--references MEAN] [--realisations N] [--odd PERCENT]\n",
	      stderr);
	return 2;
}

static int write_store(const struct random_store *s, const char *output)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_builder *b = ul_builder_new(s->store_dir);
	struct ul_error err = {0};
	char sentence[1200];
	int r = b ? random_store_fill(s, b, &err) : ul_error_nomem(&err, "generating a store");

	if (r == 0)
		r = ul_builder_finish(b, &file, &err);
	ul_builder_free(b);
	if (r == 0) {
		r = ul_write_file_atomic(AT_FDCWD, output, 0644, file.data, file.len);
		if (r < 0)
			r = ul_error_errno(&err, UL_E_SYSTEM, "writing", output, NULL, -r);
	}
	if (r < 0)
		fprintf(stderr, "gen_store: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
	return r < 0 ? 3 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},      {"signed", required_argument, NULL, 's'},
		{"derivations", required_argument, NULL, 'd'}, {"references", required_argument, NULL, 'r'},
		{"graph", required_argument, NULL, 'g'},       {"realisations", required_argument, NULL, 'R'},
		{"odd", required_argument, NULL, 'x'},         {NULL, 0, NULL, 0}};
	struct random_store_options o = random_store_real;
	const char *output = NULL;
	struct random_store *s;
	int c, status;

	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		unsigned int v = optarg ? (unsigned int)strtoul(optarg, NULL, 10) : 0;

		if (c == 'o')
			output = optarg;
		else if (c == 's')
			o.signed_share = v;
		else if (c == 'd')
			o.drv_share = v;
		else if (c == 'g' && !strcmp(optarg, "builder"))
			o = random_store_builder;
		else if (c == 'r')
			o.mean_refs = v;
		else if (c == 'R')
			o.realisations = v;
		else if (c == 'x')
			o.odd_share = v;
		else
			return usage();
	}
	if (!output || argc - optind != 2)
		return usage();
	s = random_store_new(strtoull(argv[optind], NULL, 10), strtoull(argv[optind + 1], NULL, 10), &o);
	if (!s)
		return 3;
	status = write_store(s, output);
	random_store_free(s);
	return status;
}
