/* Derivers, as a manifest may hold them. */
#include "dbgen/manifest/text.h"

#include <string.h>

#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

bool ul_deriver_parse(const char *store_dir, const char *deriver, const char **ret_base)
{
	size_t len = strlen(deriver);
	uint8_t digest[UL_DIGEST_SIZE];

	*ret_base = ul_store_path_parse(store_dir, deriver, digest);
	if (*ret_base)
		return true;
	return deriver[0] == '/' && len <= UL_DERIVER_MAX && ul_text_clean(deriver, len) &&
	       !ul_store_base_in(store_dir, deriver);
}
