/* What a reader of the whole manifest needs beside its batches. */
#include <stdint.h>

#include "dbgen/manifest/internal.h"

uint64_t ul_manifest_batch_refs(const struct ul_manifest *m, uint32_t k)
{
	return ul_get_le64(m->index + (size_t)k * UL_MANIFEST_INDEX);
}
