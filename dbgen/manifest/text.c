/* Derivers, as a manifest may hold them. */
#include "dbgen/manifest/text.h"

#include <string.h>

#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

/* Each of a is one of b. */
static bool all_in(const char *a, size_t a_len, const char *b, size_t b_len)
{
	for (size_t i = 0, next; i < a_len; i = next + 1) {
		const char *end = memchr(a + i, ' ', a_len - i);
		bool found = false;

		next = end ? (size_t)(end - a) : a_len;
		for (size_t k = 0, after; k < b_len && !found; k = after + 1) {
			end = memchr(b + k, ' ', b_len - k);
			after = end ? (size_t)(end - b) : b_len;
			found = after - k == next - i && !memcmp(a + i, b + k, next - i);
		}
		if (!found)
			return false;
	}
	return true;
}

bool ul_sigs_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && all_in(a, a_len, b, b_len) && all_in(b, b_len, a, a_len);
}

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
