/* A path of a manifest as Nix writes it. */
#include "dbgen/manifest/manifest.h"

void ul_store_path_text(const char *store_dir, const struct ul_batch *b, uint32_t i, char out[UL_STORE_PATH_SIZE])
{
	(void)ul_store_path_print(store_dir, b->digest + (size_t)i * UL_DIGEST_SIZE, b->name.bytes + b->name.off[i],
				  b->name.off[i + 1] - b->name.off[i], out);
}
