/* `underlay image sign`: by a key at hand, or in two steps by one that is kept elsewhere. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/image.h"
#include "common/cleanup.h"
#include "verity/image/build.h"

enum { OPT_KEY = 256, OPT_CERT, OPT_PASSPHRASE, OPT_EXPORT, OPT_ROOT_HASH, OPT_DESCRIPTOR };

static const struct option long_options[] = {
	{"key", required_argument, NULL, OPT_KEY},
	{"cert", required_argument, NULL, OPT_CERT},
	{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
	{"export", required_argument, NULL, OPT_EXPORT},
	{"root-hash-signature", required_argument, NULL, OPT_ROOT_HASH},
	{"descriptor-signature", required_argument, NULL, OPT_DESCRIPTOR},
	{0},
};

struct arguments {
	const char *image;
	struct cli_key key;
	const char *export_dir, *root_hash_signature, *descriptor_signature;
};

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == OPT_KEY)
			a->key.key = optarg;
		else if (c == OPT_CERT)
			a->key.cert = optarg;
		else if (c == OPT_PASSPHRASE)
			a->key.passphrase_file = optarg;
		else if (c == OPT_EXPORT)
			a->export_dir = optarg;
		else if (c == OPT_ROOT_HASH)
			a->root_hash_signature = optarg;
		else if (c == OPT_DESCRIPTOR)
			a->descriptor_signature = optarg;
		else
			return cli_usage_error(cli_current(), "see the arguments");
	}
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one image is wanted");
	a->image = argv[optind];
	if (!!a->export_dir + !!a->key.key + (a->root_hash_signature || a->descriptor_signature) != 1)
		return cli_usage_error(cli_current(), "one of --key, --export and the two signatures is wanted");
	if (!a->export_dir && !a->key.cert)
		return cli_usage_error(cli_current(), "--cert is missing");
	if (!a->root_hash_signature != !a->descriptor_signature)
		return cli_usage_error(cli_current(), "both signatures are wanted");
	return 0;
}

static int sign_by_key(const struct arguments *a, struct ul_signer_name *by, struct ul_error *err)
{
	UL_CLEANUP(cli_free_signer) struct ul_signer *signer = NULL;
	int r = cli_load_signer(&a->key, &signer, err);

	if (r == 0)
		r = ul_image_sign(a->image, signer, cli_progress(), err);
	return r < 0 ? r : cli_signer_of(a->image, a->key.cert, by, err);
}

int cli_image_sign(int argc, char **argv)
{
	struct arguments a = {.image = NULL};
	struct ul_signer_name by;
	struct ul_error err;
	int r = parse_arguments(argc, argv, &a);

	if (r)
		return r;
	if (a.export_dir)
		r = ul_image_export_tbs(a.image, a.export_dir, cli_progress(), &err);
	else if (a.key.key)
		r = sign_by_key(&a, &by, &err);
	else
		r = ul_image_add_signatures(a.image, a.root_hash_signature, a.descriptor_signature, a.key.cert, &by,
					    &err);
	if (r < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (a.export_dir)
		printf("to be signed: %s/root-hash and %s/descriptor\n", a.export_dir, a.export_dir);
	else
		printf("%s: signed by %s\n", a.image, by.subject);
	return 0;
}
