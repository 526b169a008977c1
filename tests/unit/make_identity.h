/* A key with its self-signed certificate, for tests that sign. */
#pragma once

#include "verity/image/signer.h"
#include "verity/open/trust.h"

/* Write DIR/NAME.key and DIR/NAME.crt and load them. ret_trust, unless NULL: trusts this one only. */
void make_identity(const char *dir, const char *name, struct ul_signer **ret, struct ul_trust **ret_trust);
