/* `underlay image sign`: by a key at hand, or in two steps by one that is kept elsewhere. */
#include <stdbool.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/image_key.h"
#include "common/cleanup.h"
#include "verity/image/build.h"

struct arguments {
	const char *image;
	struct cli_key key;
	const char *export_dir, *root_hash_signature, *descriptor_signature;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(image), CLI_NEEDED, .help = "the image; its signature partition is written"},
	{"key", 0, "FILE", CLI_FILE, AT(key.key), 0, .help = "sign here with this key (PEM)"},
	{"cert", 0, "FILE", CLI_FILE, AT(key.cert), 0, .help = "the certificate (PEM) of the key or of the signatures"},
	{"passphrase-file", 0, "FILE", CLI_FILE, AT(key.passphrase_file), 0,
	 .help = "the first line of this file is the key's passphrase"},
	{"export", 0, "DIR", CLI_DIRECTORY, AT(export_dir), 0,
	 .help = "only write what is to be signed elsewhere: the files root-hash and descriptor"},
	{"root-hash-signature", 0, "FILE", CLI_FILE, AT(root_hash_signature), 0,
	 .help = "put this signature of the root hash (detached PKCS#7 in DER) into the image, after checking it"},
	{"descriptor-signature", 0, "FILE", CLI_FILE, AT(descriptor_signature), 0,
	 .help = "the signature of the descriptor, which goes with it"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_EXACTLY_ONE, "--key --export --root-hash-signature", NULL},
	{CLI_TOGETHER, "--root-hash-signature --descriptor-signature", NULL},
	{CLI_NEEDS, "--key --cert", NULL},
	{CLI_NEEDS, "--root-hash-signature --cert", NULL},
	{CLI_NEEDS, "--passphrase-file --key", NULL},
	{.members = NULL},
};

static int sign_by_key(const struct arguments *a, struct ul_signer_name *by, struct ul_error *err)
{
	UL_CLEANUP(cli_free_signer) struct ul_signer *signer = NULL;
	int r = cli_load_signer(&a->key, &signer, err);

	if (r == 0)
		r = ul_image_sign(a->image, signer, cli_progress(), err);
	return r < 0 ? r : cli_signer_of(a->image, a->key.cert, by, err);
}

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	struct ul_signer_name by;
	struct ul_error err;
	int r;

	if (a->export_dir)
		r = ul_image_export_tbs(a->image, a->export_dir, cli_progress(), &err);
	else if (a->key.key)
		r = sign_by_key(a, &by, &err);
	else
		r = ul_image_add_signatures(a->image, a->root_hash_signature, a->descriptor_signature, a->key.cert, &by,
					    &err);
	if (r < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (a->export_dir)
		printf("to be signed: %s/root-hash and %s/descriptor\n", a->export_dir, a->export_dir);
	else
		printf("%s: signed by %s\n", a->image, by.subject);
	return 0;
}

const struct cli_command cli_image_sign = {
	.group = "image",
	.name = "sign",
	.help = "sign a store image, also by a key that is kept elsewhere",
	.page = "underlay-image",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
