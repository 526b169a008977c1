/* Keys and certificates: what `underlay image build`, `image sign` and `uki` share. */
#pragma once

#include "common/error.h"
#include "verity/image/signer.h"
#include "verity/open/trust.h"

struct cli_key {
	const char *key, *cert;      /* PEM files */
	const char *passphrase_file; /* NULL: the key is not encrypted */
};

int cli_load_signer(const struct cli_key *key, struct ul_signer **ret, struct ul_error *err);
void cli_free_signer(struct ul_signer **signer);

/* Open the image as a device that trusts cert would, and say who signed it. */
int cli_signer_of(const char *image, const char *cert, struct ul_signer_name *ret, struct ul_error *err);
