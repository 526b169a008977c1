/* Finding one path: a binary search among the digests where they lie in the file. */
#include <stdlib.h>
#include <string.h>

#include "dbgen/manifest/internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "reading the manifest";

/* The first path whose digest is not below this one; n_paths: there is none. */
static int lower_bound(const struct ul_manifest *m, const uint8_t digest[UL_DIGEST_SIZE], uint32_t *ret,
		       struct ul_error *err)
{
	uint32_t low = 0, high = m->n_paths;
	uint8_t at[UL_DIGEST_SIZE];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int r = ul_manifest_digest(m, middle, at, err);

		if (r < 0)
			return r;
		if (memcmp(at, digest, UL_DIGEST_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = low;
	return 0;
}

/* Whether path i is there and has this digest: 1, 0 or negative. */
static int has_digest(const struct ul_manifest *m, uint32_t i, const uint8_t digest[UL_DIGEST_SIZE],
		      struct ul_error *err)
{
	uint8_t at[UL_DIGEST_SIZE];
	int r = i < m->n_paths ? ul_manifest_digest(m, i, at, err) : 0;

	return r < 0 ? r : i < m->n_paths && !memcmp(at, digest, UL_DIGEST_SIZE);
}

/* Whether path i has this name. Its batch stays decoded: queries often come in path order. */
static int has_name(struct ul_manifest *m, uint32_t i, const char *name, struct ul_error *err)
{
	struct ul_batch *b = &m->found;
	uint32_t at, len;
	int r;

	if (!m->find_reader)
		m->find_reader = ul_batch_reader_new(m);
	if (!m->find_reader)
		return ul_error_nomem(err, what);
	if (i < b->first || i - b->first >= b->n) {
		b->n = 0;
		r = ul_manifest_read_batch(m->find_reader, i / UL_MANIFEST_BATCH, UL_COL_NAME, b, err);
		if (r < 0)
			return r;
	}
	at = b->name.off[i - b->first];
	len = b->name.off[i - b->first + 1] - at;
	return len == strlen(name) && memcmp(b->name.bytes + at, name, len) == 0;
}

int ul_manifest_has_digest(const struct ul_manifest *m, const char *base_name, struct ul_error *err)
{
	uint8_t digest[UL_DIGEST_SIZE];
	uint32_t i = 0;
	int r;

	if (!ul_store_base_parse(base_name, strnlen(base_name, UL_BASE_NAME_MAX + 1), digest))
		return 0;
	r = lower_bound(m, digest, &i, err);
	return r < 0 ? r : has_digest(m, i, digest, err);
}

int ul_manifest_find(struct ul_manifest *m, const char *base_name, uint32_t *ret_number, struct ul_error *err)
{
	uint8_t digest[UL_DIGEST_SIZE];
	uint32_t i = 0;
	int r;

	if (!ul_store_base_parse(base_name, strnlen(base_name, UL_BASE_NAME_MAX + 1), digest))
		return 0;
	r = lower_bound(m, digest, &i, err);
	for (; r == 0; i++) {
		r = has_digest(m, i, digest, err);
		if (r <= 0)
			return r;
		pthread_mutex_lock(&m->lock);
		r = has_name(m, i, base_name + UL_HASH_DIGITS + 1, err);
		pthread_mutex_unlock(&m->lock);
		if (r == 1)
			*ret_number = i;
	}
	return r;
}
