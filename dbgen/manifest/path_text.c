/* A path of a manifest as Nix writes it. */
#include <string.h>

#include "dbgen/manifest/manifest.h"

void ul_store_path_text(const char *store_dir, const struct ul_batch *b, uint32_t i, char out[UL_STORE_PATH_SIZE])
{
	size_t name = b->name.off[i + 1] - b->name.off[i];
	char *at = stpcpy(out, store_dir);

	*at++ = '/';
	ul_store_digest_text(b->digest + (size_t)i * UL_DIGEST_SIZE, at);
	at += UL_HASH_DIGITS;
	*at++ = '-';
	memcpy(at, b->name.bytes + b->name.off[i], name);
	at[name] = '\0';
}
