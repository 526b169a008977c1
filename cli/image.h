/* The subcommands of `underlay image`, one file each; cli/image.c is their table. */
#pragma once

#include "common/error.h"
#include "verity/image/signer.h"
#include "verity/open/trust.h"

int cli_image_build(int argc, char **argv);
int cli_image_sign(int argc, char **argv);
int cli_image_inspect(int argc, char **argv);
int cli_image_verify(int argc, char **argv);
int cli_image_locate(int argc, char **argv);

/* ---- image_key.c: what build and sign share ---- */

struct cli_key {
	const char *key, *cert;      /* PEM files */
	const char *passphrase_file; /* NULL: the key is not encrypted */
};

int cli_load_signer(const struct cli_key *key, struct ul_signer **ret, struct ul_error *err);
void cli_free_signer(struct ul_signer **signer);

/* Open the image as a device that trusts cert would, and say who signed it. */
int cli_signer_of(const char *image, const char *cert, struct ul_signer_name *ret, struct ul_error *err);
