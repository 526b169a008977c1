/* See upper_store.h; the scan is in shadow.c. */
#include "dbgen/reconcile/upper_store.h"

#include <stdlib.h>
#include <string.h>

#include "dbgen/store/nar.h"

void ul_upper_store_close(struct ul_upper_store *s)
{
	ul_cleanup_close(&s->fd);
	ul_buffer_free(&s->names);
	ul_vector_free(&s->entries);
	*s = UL_UPPER_STORE_NONE;
}

static int compare_entry(const void *key, const void *entry)
{
	return strcmp(key, *(const char *const *)entry);
}

bool ul_upper_store_has(const struct ul_upper_store *s, const char *base)
{
	return s->entries.n > 0 && bsearch(base, s->entries.at, s->entries.n, sizeof(*s->entries.at), compare_entry);
}

int ul_upper_store_check(struct ul_upper_store *s, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE],
			 uint64_t size, struct ul_error *err)
{
	uint8_t found[UL_NAR_HASH_SIZE];
	uint64_t found_size = 0;
	struct ul_error trouble;
	int r = ul_nar_hash(s->fd, base, found, &found_size, &trouble);

	s->checked++;
	if (r == -UL_E_MEMORY) {
		*err = trouble;
		return r;
	}
	return r == 0 && (size == 0 || size == found_size) && !memcmp(hash, found, UL_NAR_HASH_SIZE);
}
